"""Exposures and the actions on them, joined into training examples.

An exposure is a row of what was shown; an action is a row of what was done with it, perhaps minutes
later, perhaps out of order. They meet by ``request_id`` and ``item_id``: an action counts when it
happened within the label window after its exposure. A click makes an example at once; without one
the exposure is pending until the watermark has passed its window. What changes after that, as long
as the correction window is open, is told by a further revision of the example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from recbench import columns as c
from recbench.errors import InputError, SchemaError

__all__ = ["Joiner", "LabelWindows", "joined", "latest"]

KEY = [c.REQUEST_ID, c.ITEM_ID]
LABEL_TS, REVISION = "label_ts", "revision"
LABEL = [c.CLICKED, c.WATCH_MS, LABEL_TS]
SHOWN = (c.POSITION, c.PROPENSITY, c.FEATURES_SERVED)  # an exposure has one of them, an action none
NEEDED = (*KEY, c.TS, c.CLICKED)
ARRIVAL = (c.KAFKA_PARTITION, c.KAFKA_OFFSET)
ACTION_TS, ACTION_WATERMARK = "action_ts", "action_watermark"
IS_OPEN, BEFORE = "_is_open", "_before"


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


def joined(rows: pl.DataFrame, windows: LabelWindows) -> pl.DataFrame:
    """The example of every exposure, with what is known in the end.

    A row with a ``request_id`` and a position, a propensity or served features is an exposure; one
    with neither is an action if it was clicked or has a ``watch_ms``. An exposure that was logged
    with its click is both. A row counts when it came before the watermark of its partition had
    passed the exposure's windows. Of two exposures of one key the first to arrive stays.

    Args:
        rows: canonical, in order of arrival, or with the columns that tell it; may hold further
            columns, which stay, and ``watermark``, that of the row.
        windows: of the labels.

    Returns:
        The exposures' columns, with ``clicked``, ``watch_ms`` (the sum of the actions', null
        without any) and ``label_ts``: when the first click happened, or the label window ended.

    Raises:
        SchemaError: a column is missing.
    """
    missing = [name for name in NEEDED if name not in rows.columns]
    if missing:
        raise SchemaError(f"Rows to join need the columns {missing}; they have {rows.columns}")
    rows = _completed(rows)
    exposures = rows.filter(_is_exposure()).unique(KEY, keep="first", maintain_order=True)
    exposures = exposures.filter(_came_before_end(c.WATERMARK, windows))
    actions = rows.filter(_is_action()).select(
        *KEY,
        c.CLICKED,
        c.WATCH_MS,
        pl.col(c.TS).alias(ACTION_TS),
        pl.col(c.WATERMARK).alias(ACTION_WATERMARK),
    )
    within = pl.col(ACTION_TS).is_between(c.TS, pl.col(c.TS) + windows.label)
    met = (
        actions.join(exposures.select(*KEY, c.TS), on=KEY)
        .filter(within & _came_before_end(ACTION_WATERMARK, windows))
        .group_by(KEY)
        .agg(
            pl.col(c.CLICKED).any(),
            pl.when(pl.col(c.WATCH_MS).count() > 0).then(pl.col(c.WATCH_MS).sum()),
            pl.col(ACTION_TS).filter(c.CLICKED).min().alias(LABEL_TS),
        )
    )
    labelled = exposures.drop(c.CLICKED, c.WATCH_MS).join(
        met, on=KEY, how="left", maintain_order="left"
    )
    return labelled.with_columns(
        pl.col(c.CLICKED).fill_null(False),
        pl.col(LABEL_TS).fill_null(pl.col(c.TS) + windows.label),
    )


def latest(examples: pl.DataFrame) -> pl.DataFrame:
    """The highest revision of each example."""
    ordered = examples.sort(REVISION, maintain_order=True)
    return ordered.unique(KEY, keep="last", maintain_order=True)


class Joiner:
    """The join as rows arrive: examples as soon as their label is known, then corrections.

    Holds the rows whose windows are open, and no others.

    Args:
        windows: of the labels.
    """

    def __init__(self, windows: LabelWindows) -> None:
        self.windows = windows
        self.n_orphans = 0  # actions whose exposure never came
        self._rows: pl.DataFrame | None = None
        self._emitted: pl.DataFrame | None = None  # KEY, LABEL, REVISION of open examples

    def restore(self, rows: pl.DataFrame, emitted: pl.DataFrame) -> None:
        """Go on after ``rows`` were fed and ``emitted`` came of them.

        Args:
            rows: those whose windows were open, in order of arrival.
            emitted: all revisions of their examples.
        """
        self._rows = _completed(rows).filter(pl.col(c.REQUEST_ID).is_not_null())
        if len(emitted):
            self._emitted = latest(emitted).select(*KEY, *LABEL, REVISION)

    def feed(self, rows: pl.DataFrame, *, watermark: datetime | None) -> pl.DataFrame:
        """The examples that the rows and the watermark bring, each with its ``revision``.

        Args:
            rows: in order of arrival.
            watermark: of the whole stream, with these rows; None before there is one.
        """
        rows = _completed(rows).filter(pl.col(c.REQUEST_ID).is_not_null())
        self._rows = rows if self._rows is None else _stacked([self._rows, rows])
        labelled = joined(self._rows, self.windows)
        examples = _changed(labelled, self._emitted, watermark=watermark, windows=self.windows)
        told = examples.select(*KEY, *LABEL, REVISION)
        self._emitted = told if self._emitted is None else latest(_stacked([self._emitted, told]))
        if watermark is not None:
            self._expire(self._rows, watermark)
        return examples

    def _expire(self, rows: pl.DataFrame, watermark: datetime) -> None:
        """Forget exposures whose windows have ended, with their actions, and stray actions."""
        is_open = pl.col(c.TS) + self.windows.open_for > watermark
        exposures = rows.filter(_is_exposure()).group_by(KEY).agg(is_open.any().alias(IS_OPEN))
        marked = rows.join(exposures, on=KEY, how="left", maintain_order="left")
        held = marked.filter(pl.col(IS_OPEN).fill_null(is_open))
        self.n_orphans += len(marked.filter(pl.col(IS_OPEN).is_null() & ~is_open & _is_action()))
        self._rows = held.drop(IS_OPEN)
        if self._emitted is not None:
            self._emitted = self._emitted.join(held.select(KEY).unique(), on=KEY, how="semi")


def _changed(
    labelled: pl.DataFrame,
    emitted: pl.DataFrame | None,
    *,
    watermark: datetime | None,
    windows: LabelWindows,
) -> pl.DataFrame:
    """What is to be told now: a first click, and whatever differs once the label window is over."""
    if emitted is None:
        emitted = labelled.select(*KEY, *LABEL, pl.lit(0, pl.Int32).alias(REVISION)).clear()
    before = emitted.rename({name: f"{name}{BEFORE}" for name in LABEL})
    both = labelled.join(before, on=KEY, how="left", maintain_order="left")
    is_new = pl.col(REVISION).is_null()
    is_over = pl.col(c.TS) + windows.label <= watermark if watermark else pl.lit(False)
    differs = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}{BEFORE}")) for name in LABEL
    )
    due = (is_new & pl.col(c.CLICKED)) | (is_over & (is_new | differs))
    revision = (pl.col(REVISION) + 1).fill_null(0)
    return both.filter(due).with_columns(revision).drop(f"{name}{BEFORE}" for name in LABEL)


def _completed(rows: pl.DataFrame) -> pl.DataFrame:
    """With the columns that a stream may lack, in order of arrival where the rows tell it."""
    optional = {name: c.EVENT_DTYPES[name] for name in (c.WATCH_MS, c.POSITION, c.PROPENSITY)}
    optional |= {name: c.STREAM_DTYPES[name] for name in (c.WATERMARK, c.FEATURES_SERVED)}
    absent = {name: dtype for name, dtype in optional.items() if name not in rows.columns}
    rows = rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in absent.items())
    tell = [name for name in ARRIVAL if name in rows.columns]
    return rows.sort(tell, maintain_order=True) if tell else rows


def _stacked(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames, how="diagonal")


def _is_exposure() -> pl.Expr:
    shown = pl.any_horizontal(pl.col(name).is_not_null() for name in SHOWN)
    return pl.col(c.REQUEST_ID).is_not_null() & shown


def _is_action() -> pl.Expr:
    acted = pl.col(c.CLICKED).fill_null(False) | pl.col(c.WATCH_MS).is_not_null()
    return pl.col(c.REQUEST_ID).is_not_null() & acted


def _came_before_end(watermark: str, windows: LabelWindows) -> pl.Expr:
    ended = pl.col(watermark) >= pl.col(c.TS) + windows.open_for
    return ~ended.fill_null(False)
