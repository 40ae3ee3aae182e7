"""The join as rows arrive: examples as soon as their label is known, then corrections.

A click makes an example at once; without one the exposure is pending until the watermark has passed
its label window. What differs then, and what changes after it as long as the correction window is
open, is told by a further revision of the example.
"""

from datetime import datetime

import polars as pl

from recbench import columns as c
from recbench.events.joined import KEY, LABEL_TS, REVISION, joined, latest, n_orphans
from recbench.events.shown import LabelWindows, completed, is_exposure

__all__ = ["Joiner", "changed"]

LABEL = [c.CLICKED, c.WATCH_MS, LABEL_TS]
IS_OPEN, BEFORE = "_is_open", "_before"


class Joiner:
    """The join of one stream of rows, in memory.

    Holds the rows whose windows are open, and no others: what comes under the key of an exposure
    that is forgotten is taken for new.

    Args:
        windows: of the labels.
    """

    def __init__(self, windows: LabelWindows) -> None:
        self.windows = windows
        self.n_orphans = 0  # actions that counted for no exposure
        self._rows: pl.DataFrame | None = None
        self._emitted: pl.DataFrame | None = None  # KEY, LABEL, REVISION of open examples

    def restore(self, rows: pl.DataFrame, emitted: pl.DataFrame) -> None:
        """Go on after ``rows`` were fed and ``emitted`` came of them.

        Args:
            rows: those whose windows were open, in order of arrival.
            emitted: all revisions of their examples.
        """
        self._rows = completed(rows).filter(pl.col(c.REQUEST_ID).is_not_null())
        if len(emitted):
            self._emitted = latest(emitted).select(*KEY, *LABEL, REVISION)

    def feed(self, rows: pl.DataFrame, *, watermark: datetime | None) -> pl.DataFrame:
        """The examples that the rows and the watermark bring, each with its ``revision``.

        Args:
            rows: in order of arrival.
            watermark: of the whole stream, with these rows; None before there is one.
        """
        rows = completed(rows).filter(pl.col(c.REQUEST_ID).is_not_null())
        self._rows = rows if self._rows is None else _stacked(self._rows, rows)
        labelled = joined(self._rows, self.windows)
        examples = changed(labelled, self._emitted, watermark=watermark, windows=self.windows)
        told = examples.select(*KEY, *LABEL, REVISION)
        self._emitted = told if self._emitted is None else latest(_stacked(self._emitted, told))
        if watermark is not None:
            self._expire(self._rows, watermark)
        return examples

    def _expire(self, rows: pl.DataFrame, watermark: datetime) -> None:
        """Forget exposures whose windows have ended, with their actions, and stray actions."""
        is_open = pl.col(c.TS) + self.windows.open_for >= watermark
        exposures = rows.filter(is_exposure()).group_by(KEY).agg(is_open.any().alias(IS_OPEN))
        marked = rows.join(exposures, on=KEY, how="left", maintain_order="left")
        marked = marked.with_columns(pl.col(IS_OPEN).fill_null(is_open))
        held = marked.filter(IS_OPEN).drop(IS_OPEN)
        self.n_orphans += n_orphans(marked.filter(~pl.col(IS_OPEN)), rows, self.windows)
        self._rows = held
        if self._emitted is not None:
            self._emitted = self._emitted.join(held.select(KEY).unique(), on=KEY, how="semi")


def changed(
    labelled: pl.DataFrame,
    emitted: pl.DataFrame | None,
    *,
    watermark: datetime | None,
    windows: LabelWindows,
) -> pl.DataFrame:
    """What is to be told now: a first click, and whatever differs once the label window is over.

    Args:
        labelled: of ``joined``.
        emitted: the latest revisions told of these examples; None if there are none.
        watermark: of the whole stream; None before there is one.
        windows: of the labels.

    Returns:
        Rows of ``labelled`` with their ``revision``: 0, or the next one.
    """
    if emitted is None:
        emitted = labelled.select(*KEY, *LABEL, pl.lit(0, pl.Int32).alias(REVISION)).clear()
    before = emitted.select(*KEY, *LABEL, REVISION).rename({n: f"{n}{BEFORE}" for n in LABEL})
    both = labelled.join(before, on=KEY, how="left", maintain_order="left")
    is_new = pl.col(REVISION).is_null()
    is_over = pl.col(c.TS) + windows.label < watermark if watermark else pl.lit(False)
    differs = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}{BEFORE}")) for name in LABEL
    )
    due = (is_new & pl.col(c.CLICKED)) | (is_over & (is_new | differs))
    revision = (pl.col(REVISION) + 1).fill_null(0)
    return both.filter(due).with_columns(revision).drop(f"{name}{BEFORE}" for name in LABEL)


def _stacked(*frames: pl.DataFrame) -> pl.DataFrame:
    return pl.concat(frames, how="diagonal")
