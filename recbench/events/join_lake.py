"""The joiner over the lake: each step reads what has come since the last one, and what it touches.

A step keeps nothing in memory. It looks at the rows that no step has read and at the exposures that
they, or the watermark, may tell something new about; at the examples made of those so far; and
commits the changes together with how far it read. A step that is killed has done nothing, or
everything.

The watermark is that of the slowest partition. One that lies behind the others by more than the
windows, and brings nothing new, does not hold them back. When it goes on after all, the watermark
steps back to it: its rows find their windows open again, and what was told before is not repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from recbench import columns as c
from recbench.errors import InputError, SchemaError
from recbench.events.joined import KEY, REVISION, exposures, joined, latest, n_orphans
from recbench.events.joiner import LABEL, changed
from recbench.events.served_features import with_features
from recbench.events.shown import LabelWindows, came_in_time
from recbench.events.source_rows import EPOCH, IS_NEW, SourceRows, instant, microseconds
from recbench.features.definitions import Feature
from recbench.tables.lake import LakeTable

__all__ = ["JoinStep", "join_step"]

STEPS, WATERMARK, FURTHEST = "join/steps", "join/watermark", "join/furthest"
MICROSECOND = timedelta(microseconds=1)
ROWS_PER_STEP = 1_000_000  # of a partition: what bounds the memory of a step with a backlog
REPEATED_WITHIN = timedelta(days=1)  # a key that is shown again later makes a second example


@dataclass(frozen=True, slots=True)
class JoinStep:
    """What one step added, and what makes no example."""

    n_examples: int  # first revisions
    n_corrections: int
    n_orphans: int  # actions that count for no exposure, once none can come any more
    n_repeats: int  # exposures of what was shown before
    n_too_late: int  # rows that came after all windows that they could belong to
    watermark: datetime | None  # of the slowest partition that counts
    is_last: bool  # nothing is left for a further step


def join_step(
    sources: Sequence[LakeTable],
    examples: LakeTable,
    windows: LabelWindows,
    *,
    features: Sequence[Feature] = (),
    max_rows: int = ROWS_PER_STEP,
) -> JoinStep:
    """Add to ``examples`` what the rows of ``sources`` tell by now.

    Args:
        sources: tables of streams: exposures and actions in one, or apart.
        examples: made at the first step.
        windows: of the labels; the same at every step.
        features: to add to the examples, as served or as of the watermark then.
        max_rows: to read of each partition.

    Raises:
        InputError: there is no source yet, or another joiner was at work at the same time.
        SchemaError: the sources have request ids of different kinds.
    """
    _check(sources)
    done = examples.transactions([STEPS, WATERMARK, FURTHEST])
    found = [SourceRows.beyond(source, examples, max_rows=max_rows) for source in sources]
    before = instant(done[WATERMARK]) if WATERMARK in done else None
    new = pl.concat([source.new for source in found])
    if not len(new):
        return JoinStep(0, 0, 0, 0, 0, before, is_last=True)
    watermark = _watermark(found, windows)
    of_requests = new.filter(pl.col(c.REQUEST_ID).is_not_null())
    in_time = of_requests.filter(came_in_time(c.WATERMARK, windows))
    rows = _rows(found, _touched(in_time, before, windows))
    told, n_repeats = _told(rows, examples, windows, watermark=watermark)
    if features and len(told):
        told = with_features(told, pl.concat([s.read() for s in sources], how="diagonal"), features)
    furthest = instant(done[FURTHEST]) if FURTHEST in done else None
    step = JoinStep(
        n_examples=int((told[REVISION] == 0).sum()),
        n_corrections=int((told[REVISION] > 0).sum()),
        n_orphans=_n_orphans(found, windows, since=furthest, until=watermark),
        n_repeats=n_repeats,
        n_too_late=len(of_requests) - len(in_time),
        watermark=watermark,
        is_last=all(source.is_last for source in found),
    )
    versions = {name: at for source in found for name, at in source.versions.items()}
    if watermark is not None:
        versions[WATERMARK] = microseconds(watermark)
        versions[FURTHEST] = max(versions[WATERMARK], done.get(FURTHEST, 0))
    _commit(examples, told, after=done.get(STEPS, 0), versions=versions)
    return step


def _check(sources: Sequence[LakeTable]) -> None:
    absent = [str(source.path) for source in sources if not source.exists]
    if absent:
        raise InputError(f"Nothing to join: {absent[0]} is no table yet; ingest the topic first")
    kinds = {str(source.path): source.read().collect_schema()[c.REQUEST_ID] for source in sources}
    if len(set(kinds.values())) > 1:
        raise SchemaError(
            f"`{c.REQUEST_ID}` must be of one kind to join by, got {kinds}; ingest both topics "
            "with the same --ids"
        )


def _watermark(found: Sequence[SourceRows], windows: LabelWindows) -> datetime | None:
    reached = [
        (at, partition in source.active)
        for source in found
        for partition, at in source.watermarks.items()
    ]
    furthest = max((at for at, _ in reached), default=EPOCH)
    counting = (at for at, moves in reached if moves or at >= furthest - windows.open_for)
    return min(counting, default=None)


def _touched(in_time: pl.DataFrame, before: datetime | None, windows: LabelWindows) -> datetime:
    """When the first exposure was shown of which these rows or the watermark may tell more."""
    if before is None:
        return EPOCH
    earliest = in_time.select(pl.col(c.TS).min().fill_null(before)).item()
    return min(before, instant(microseconds(earliest))) - windows.label


def _rows(
    found: Sequence[SourceRows], earliest: datetime, *, before: datetime | None = None
) -> pl.DataFrame:
    return pl.concat([each.rows(earliest, before=before) for each in found], how="diagonal")


def _told(
    rows: pl.DataFrame, examples: LakeTable, windows: LabelWindows, *, watermark: datetime | None
) -> tuple[pl.DataFrame, int]:
    """What is to be added to the examples, and the number of new exposures that are repeats."""
    labelled = joined(rows, windows)
    new = labelled.filter(IS_NEW)
    n_repeats = len(exposures(rows.filter(IS_NEW), windows)) - len(new)
    if not examples.exists or not len(labelled):
        return changed(labelled, None, watermark=watermark, windows=windows).drop(IS_NEW), n_repeats
    earliest = labelled.select(pl.col(c.TS).min()).item()
    emitted = examples.read_since(earliest - MICROSECOND).select(*KEY, *LABEL, REVISION).collect()
    told = changed(labelled, latest(emitted), watermark=watermark, windows=windows)
    first = told.filter(pl.col(REVISION) == 0)
    asked = pl.concat([new.select(KEY), first.select(KEY)]).lazy()
    before = examples.read_since(earliest - REPEATED_WITHIN).filter(pl.col(c.TS) < earliest)
    again = before.select(KEY).join(asked, on=KEY, how="semi").collect()
    n_repeats += len(new.join(again, on=KEY, how="semi"))
    return told.drop(IS_NEW).join(again, on=KEY, how="anti", maintain_order="left"), n_repeats


def _n_orphans(
    found: Sequence[SourceRows],
    windows: LabelWindows,
    *,
    since: datetime | None,
    until: datetime | None,
) -> int:
    """Of the actions whose last chance to meet an exposure has passed from ``since`` on."""
    since = since or EPOCH
    if until is None or until <= since:
        return 0
    first = since - windows.open_for
    rows = _rows(found, first - windows.label, before=until - windows.open_for)
    return n_orphans(rows.filter(pl.col(c.TS) >= first), rows, windows)


def _commit(
    examples: LakeTable, told: pl.DataFrame, *, after: int, versions: Mapping[str, int]
) -> None:
    def unless_another(done: Mapping[str, int]) -> tuple[pl.DataFrame, Mapping[str, int]]:
        if done.get(STEPS, 0) != after:
            raise InputError(f"Another joiner is at work on {examples.path}; stop one of them")
        return told, {**versions, STEPS: after + 1}

    examples.append_decided([STEPS], unless_another)
