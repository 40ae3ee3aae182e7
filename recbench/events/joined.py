"""Exposures and the actions on them as training examples, from all rows at once.

They meet by ``request_id`` and ``item_id``: an action counts when it happened within the label
window after its exposure, both ends included.
"""

import polars as pl

from recbench import columns as c
from recbench.errors import SchemaError
from recbench.events.shown import LabelWindows, came_in_time, completed, is_action, is_exposure

__all__ = ["exposures", "joined", "latest", "n_orphans"]

KEY = [c.REQUEST_ID, c.ITEM_ID]
LABEL_TS, REVISION = "label_ts", "revision"
NEEDED = (*KEY, c.TS, c.CLICKED)
ACTED = (*NEEDED, c.WATCH_MS, c.WATERMARK)  # what is asked of an action
ACTION_TS, ROW = "_action_ts", "_row"


def joined(rows: pl.DataFrame, windows: LabelWindows) -> pl.DataFrame:
    """The example of every exposure, with what is known in the end.

    ``shown`` says which rows are exposures and which are actions. A row counts when it came before
    the watermark of its partition had passed the exposure's windows. Of the exposures of one key
    that count, the first to arrive stays.

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
    rows = completed(rows)
    shown = exposures(rows, windows).unique(KEY, keep="first", maintain_order=True)
    met = (
        _met(rows.select(ACTED), shown, windows)
        .group_by(KEY)
        .agg(
            pl.col(c.CLICKED).any(),
            pl.when(pl.col(c.WATCH_MS).count() > 0).then(pl.col(c.WATCH_MS).sum()),
            pl.col(ACTION_TS).filter(c.CLICKED).min().alias(LABEL_TS),
        )
    )
    labelled = shown.drop(c.CLICKED, c.WATCH_MS).join(
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


def exposures(rows: pl.DataFrame, windows: LabelWindows) -> pl.DataFrame:
    """The exposures among ``rows`` that came in time, what is shown again included."""
    return completed(rows).filter(is_exposure() & came_in_time(c.WATERMARK, windows))


def n_orphans(actions: pl.DataFrame, rows: pl.DataFrame, windows: LabelWindows) -> int:
    """How many of ``actions`` count for no exposure in ``rows``; those too late are left out."""
    in_time = is_action() & came_in_time(c.WATERMARK, windows)
    acted = completed(actions).select(ACTED).filter(in_time).with_row_index(ROW)
    met = _met(acted, exposures(rows, windows), windows)
    return len(acted) - met[ROW].n_unique()


def _met(rows: pl.DataFrame, shown: pl.DataFrame, windows: LabelWindows) -> pl.DataFrame:
    """The actions among ``rows`` that count, once for each exposure that they count for."""
    actions = rows.filter(is_action()).rename({c.TS: ACTION_TS})
    within = pl.col(ACTION_TS).is_between(c.TS, pl.col(c.TS) + windows.label)
    both = actions.join(shown.select(*KEY, c.TS), on=KEY)
    return both.filter(within & came_in_time(c.WATERMARK, windows))
