"""Event ids for logs that have none: 64-bit hashes, the same on every machine."""

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c

__all__ = ["hashed_ids"]


def hashed_ids(parts: pl.DataFrame, *, source: str) -> pl.Series:
    """An ``event_id`` for each row of ``parts``: a hash of the source and the row's integers.

    Args:
        parts: (N, any) integers without nulls; equal rows get equal ids.
        source: what the rows come from; seeds the hash.
    """
    seed = np.frombuffer(source.encode(), dtype=np.uint8).astype(np.uint64)
    state = np.array([len(seed)], dtype=np.uint64)  # of the source: the same for every row
    for value in seed:
        state = _mixed(state ^ value)
    for column in parts.iter_columns():
        state = _mixed(state ^ column.to_numpy().astype(np.int64).view(np.uint64))
    return pl.Series(c.EVENT_ID, state.view(np.int64))


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One step of SplitMix64."""
    with np.errstate(over="ignore"):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
