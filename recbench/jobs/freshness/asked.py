"""What is asked of every arm: the clicks of the test that are to be found, the same for all."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.tables.click_stream import ClickStream
from recbench.tables.log import EventLog

__all__ = ["Asked", "Stretch", "stretches"]

Ints = npt.NDArray[np.int64]
Stretch = tuple[int, int]  # [start, end), microseconds


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """R clicks to be found, in order of time; what was shown beside each, where that is known."""

    frame: pl.DataFrame  # event_id, user_id, item_id, ts
    user_rows: Ints  # (R,)
    item_rows: Ints  # (R,) the item that was clicked
    ts: Ints  # (R,) microseconds
    shown: Ints  # flat: rows of the items that were shown together
    shown_starts: Ints  # (R + 1,) where in `shown` each request begins; empty below two items
    left_out: dict[str, int]  # clicks that are not asked, by reason

    def __len__(self) -> int:
        """The number of requests."""
        return len(self.ts)

    @classmethod
    def of(
        cls,
        log: EventLog,
        stream: ClickStream,
        within: list[Stretch],
        *,
        most: int,
        seed: int = 0,
    ) -> "Asked":
        """The clicks within some stretches, by the data's protocol.

        Under ``masked`` an item counts the first time that a user clicks it; under
        ``next_in_session`` a session's first click is asked of nobody. Of more than ``most``
        clicks some are drawn.

        Raises:
            InputError: none is left.
        """
        clicks = _clicks(log)
        ts = clicks[c.TS].dt.epoch("us").to_numpy()
        inside = np.zeros(len(ts), dtype=bool)
        for start, end in within:
            inside |= (ts >= start) & (ts < end)
        chosen, left_out = clicks.filter(inside), {}
        if log.protocol == "masked":
            chosen = chosen.filter("is_first")
            left_out["clicked before"] = int(inside.sum()) - len(chosen)
        if log.protocol == "next_in_session":
            chosen = chosen.filter(pl.col(c.TS) > pl.col("begun"))
            left_out["first of a session"] = int(inside.sum()) - len(chosen)
        if not len(chosen):
            raise InputError(
                f"Of {int(inside.sum())} clicks of the test none can be asked: {left_out}"
            )
        if len(chosen) > most:
            left_out["not drawn"] = len(chosen) - most
            rng = np.random.default_rng(seed)
            chosen = chosen[np.sort(rng.permutation(len(chosen))[:most])]
        shown, starts = _shown(log, chosen, stream)
        return cls(
            chosen.select(c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TS),
            stream.users.rows(chosen[c.USER_ID]),
            stream.items.rows(chosen[c.ITEM_ID]),
            chosen[c.TS].dt.epoch("us").to_numpy(),
            shown,
            starts,
            left_out,
        )


def stretches(
    stream: ClickStream, *, start: int, end: int, length: int, finest: int, most: int
) -> list[Stretch]:
    """All of [start, end), or even parts of it in which the finest cadence needs few refreshes.

    Args:
        stream: the log.
        start: microseconds.
        end: microseconds.
        length: of a part, microseconds: the longest cadence, so that every lag occurs.
        finest: microseconds, the shortest cadence.
        most: refreshes that may be needed.
    """
    edges = np.arange(start, end + finest, finest)
    busy = np.diff(stream.n_known(edges)) > 0
    if busy.sum() <= most:
        return [(start, end)]
    n_parts = -(-(end - start) // length)
    part = np.arange(len(busy)) * finest // length
    needed = np.bincount(part[busy], minlength=n_parts)
    for n in range(n_parts, 0, -1):
        kept = np.unique(np.linspace(0, n_parts - 1, n).round().astype(np.int64))
        if needed[kept].sum() <= most:
            return [(start + int(p) * length, min(end, start + int(p + 1) * length)) for p in kept]
    return [(start, int(edges[np.flatnonzero(busy)[most - 1] + 1]))]


def _clicks(log: EventLog) -> pl.DataFrame:
    """With the instant of the user's first click, and whether it is the pair's first one."""
    return log.events.filter(pl.col(c.CLICKED)).with_columns(
        pl.col(c.TS).min().over(c.USER_ID).alias("begun"),
        (pl.col(c.TS) == pl.col(c.TS).min().over(c.USER_ID, c.ITEM_ID)).alias("is_first"),
    )


def _shown(log: EventLog, chosen: pl.DataFrame, stream: ClickStream) -> tuple[Ints, Ints]:
    """Flat rows of what was shown with each click, and where each begins."""
    nothing = np.empty(0, dtype=np.int64), np.zeros(len(chosen) + 1, dtype=np.int64)
    if c.REQUEST_ID not in log.events.columns:
        return nothing
    rows = (
        log.events.filter(pl.col(c.REQUEST_ID).is_not_null())
        .select(c.REQUEST_ID, c.ITEM_ID)
        .unique()
        .filter(pl.len().over(c.REQUEST_ID) > 1)
    )
    asked = chosen.select(c.REQUEST_ID).with_row_index("request")
    both = asked.join(rows, on=c.REQUEST_ID).sort("request", c.ITEM_ID)
    counts = np.bincount(both["request"].to_numpy(), minlength=len(chosen))
    return stream.items.rows(both[c.ITEM_ID]), np.concatenate([[0], np.cumsum(counts)])
