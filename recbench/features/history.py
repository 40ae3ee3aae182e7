"""Padded user histories: the last L events strictly before the request, most recent last."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.tables.queries import Queries

__all__ = ["PaddedHistories", "padded_histories"]

MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class PaddedHistories:
    """Q histories as rectangles, padded on the left."""

    item_rows: npt.NDArray[np.int64]  # (Q, L), -1 where padded
    age_s: npt.NDArray[np.float32]  # (Q, L) seconds from event to request, 0 where padded
    watch_ratio: npt.NDArray[np.float32]  # (Q, L) watched share, -1 where unknown or padded


def padded_histories(queries: Queries, *, length: int) -> PaddedHistories:
    """The last ``length`` events of each query's history.

    Args:
        queries: their histories hold strictly earlier instants only.
        length: L >= 1; longer histories lose their oldest events.

    Raises:
        InputError: ``length`` below 1.
    """
    if length < 1:
        raise InputError(f"`length` must be at least 1, got {length}")
    at = queries.ends[:, None] - np.arange(length, 0, -1)[None, :]  # (Q, L) positions in the log
    held = at >= queries.starts[:, None]
    log = queries.log
    if not len(log):
        ages, unknown = np.zeros(at.shape, dtype=np.float32), np.full(at.shape, -1.0, np.float32)
        return PaddedHistories(np.full(at.shape, -1, dtype=np.int64), ages, unknown)
    at = np.where(held, at, 0)
    age = (queries.ts[:, None] - log.ts[at]) / MICROSECONDS
    return PaddedHistories(
        np.where(held, log.item_rows[at], -1),
        np.where(held, age, 0.0).astype(np.float32),
        np.where(held, log.watch_ratio[at], np.float32(-1.0)),
    )
