"""The joiner over the lake: each step reads what is open and adds what has become known.

A step keeps nothing in memory. It looks at the exposures and actions whose windows were open at the
last step, at the examples made of them so far, and commits the changes together with the watermark
that it saw. A step that is killed has done nothing, or everything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.events.joiner import REVISION, Joiner, LabelWindows
from recbench.events.served_features import with_features
from recbench.features.definitions import Feature
from recbench.tables.lake import LakeTable

__all__ = ["JoinStep", "join_step"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STEPS, WATERMARK = "join/steps", "join/watermark"


@dataclass(frozen=True, slots=True)
class JoinStep:
    """What one step added."""

    n_examples: int  # first revisions
    n_corrections: int
    n_orphans: int  # actions whose exposure never came
    watermark: datetime | None  # of the slowest partition


def join_step(
    sources: Sequence[LakeTable],
    examples: LakeTable,
    windows: LabelWindows,
    *,
    features: Sequence[Feature] = (),
) -> JoinStep:
    """Add to ``examples`` what the rows of ``sources`` tell by now.

    The watermark is that of the slowest partition; one without a row in the open windows does not
    hold the others back.

    Args:
        sources: tables of streams: exposures and actions in one, or apart.
        examples: made at the first step.
        windows: of the labels; the same at every step.
        features: to add to the examples, as served or as of the watermark then.

    Raises:
        InputError: there is no source yet, or another joiner was at work at the same time.
    """
    absent = [str(source.path) for source in sources if not source.exists]
    if absent:
        raise InputError(f"Nothing to join: {absent[0]} is no table yet; ingest the topic first")
    done = examples.transactions([STEPS, WATERMARK])
    opened = _instant(done[WATERMARK]) - windows.open_for if WATERMARK in done else EPOCH
    of_sources = [_rows(source, opened) for source in sources]
    rows = pl.concat(of_sources, how="diagonal")
    watermark = min((at for each in of_sources if (at := _watermark(each))), default=None)
    joiner = Joiner(windows)
    joiner.restore(rows.clear(), _emitted(examples, opened))
    found = joiner.feed(rows, watermark=watermark)
    if features and len(found):
        history = pl.concat([source.read() for source in sources], how="diagonal")
        found = with_features(found, history, features)
    step = JoinStep(
        n_examples=int((found[REVISION] == 0).sum()),
        n_corrections=int((found[REVISION] > 0).sum()),
        n_orphans=joiner.n_orphans,
        watermark=watermark,
    )
    if len(found) or watermark is not None:
        _commit(examples, found, after=done, watermark=watermark)
    return step


def _commit(
    examples: LakeTable,
    found: pl.DataFrame,
    *,
    after: Mapping[str, int],
    watermark: datetime | None,
) -> None:
    versions = {STEPS: after.get(STEPS, 0) + 1}
    if watermark is not None:
        versions[WATERMARK] = (watermark - EPOCH) // timedelta(microseconds=1)

    def unless_another(done: Mapping[str, int]) -> tuple[pl.DataFrame, Mapping[str, int]]:
        if dict(done) != dict(after):
            raise InputError(f"Another joiner is at work on {examples.path}; stop one of them")
        return found, versions

    examples.append_decided([STEPS, WATERMARK], unless_another)


def _rows(source: LakeTable, since: datetime) -> pl.DataFrame:
    return source.read_since(since).filter(pl.col(c.REQUEST_ID).is_not_null()).collect()


def _emitted(examples: LakeTable, since: datetime) -> pl.DataFrame:
    return examples.read_since(since).collect() if examples.exists else pl.DataFrame()


def _watermark(rows: pl.DataFrame) -> datetime | None:
    by_partition = rows.group_by(c.KAFKA_PARTITION).agg(pl.col(c.WATERMARK).max())
    found = by_partition[c.WATERMARK].drop_nulls()
    return found.min() if len(found) else None  # type: ignore[return-value]


def _instant(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
