"""Which users a refresh is judged by: a tenth, by hash, another one each time."""

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.tables.event_ids import hashed_ids

__all__ = ["N_PARTS", "is_held_back"]

N_PARTS = 10


def is_held_back(user_ids: npt.NDArray[np.int64], *, number: int) -> npt.NDArray[np.bool_]:
    """(U,) true for the users that refresh ``number`` must not train on: one of ten parts.

    After ten refreshes everybody was held back once, and was trained on one refresh later.
    """
    hashed = hashed_ids(pl.DataFrame({c.USER_ID: user_ids}), source="held back")
    part = hashed.to_numpy().view(np.uint64) % np.uint64(N_PARTS)
    held: npt.NDArray[np.bool_] = part == np.uint64(number % N_PARTS)
    return held
