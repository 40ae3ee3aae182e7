"""What a row of a stream is to the joiner: an exposure, an action, both or neither; and in time.

A row with a ``request_id`` and a position, a propensity or served features is an exposure: it was
shown. One with a ``request_id`` that was clicked or has a ``watch_ms`` is an action. An exposure
that was logged with its click is both.
"""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from recbench import columns as c
from recbench.errors import InputError

__all__ = ["LabelWindows", "came_in_time", "completed", "is_action", "is_exposure"]

SHOWN = (c.POSITION, c.PROPENSITY, c.FEATURES_SERVED)  # an exposure has one of them, an action none
ARRIVAL = (c.KAFKA_PARTITION, c.KAFKA_OFFSET)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelWindows:
    """For how long, in event time, an exposure waits for actions, and for late news of them."""

    label: timedelta
    correction: timedelta

    def __post_init__(self) -> None:
        """Refuse windows that nothing fits into."""
        if self.label <= timedelta(0):
            raise InputError(f"`label` must be longer than nothing, got {self.label}")
        if self.correction < timedelta(0):
            raise InputError(f"`correction` must not be below zero, got {self.correction}")

    @property
    def open_for(self) -> timedelta:
        """From the exposure until nothing about it changes any more."""
        return self.label + self.correction


def is_exposure() -> pl.Expr:
    """Whether a completed row tells what was shown."""
    shown = pl.any_horizontal(pl.col(name).is_not_null() for name in SHOWN)
    return pl.col(c.REQUEST_ID).is_not_null() & shown


def is_action() -> pl.Expr:
    """Whether a completed row tells what was done with something shown."""
    acted = pl.col(c.CLICKED).fill_null(False) | pl.col(c.WATCH_MS).is_not_null()
    return pl.col(c.REQUEST_ID).is_not_null() & acted


def came_in_time(watermark: str, windows: LabelWindows) -> pl.Expr:
    """Whether a row came before its watermark had passed the windows of an exposure at ``ts``.

    A row is late when it is before the watermark, so what ends at the watermark is not yet passed.
    """
    ended = pl.col(watermark) > pl.col(c.TS) + windows.open_for
    return ~ended.fill_null(False)


def completed(rows: pl.DataFrame) -> pl.DataFrame:
    """With the columns that a stream may lack, in order of arrival where the rows tell it."""
    optional = {name: c.EVENT_DTYPES[name] for name in (c.WATCH_MS, c.POSITION, c.PROPENSITY)}
    optional |= {name: c.STREAM_DTYPES[name] for name in (c.WATERMARK, c.FEATURES_SERVED)}
    absent = {name: dtype for name, dtype in optional.items() if name not in rows.columns}
    rows = rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in absent.items())
    tell = [name for name in ARRIVAL if name in rows.columns]
    return rows.sort(tell, maintain_order=True) if tell else rows
