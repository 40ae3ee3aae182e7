"""The tables of all entities, and how a batch of rows changes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.features.definitions import Entity, Feature, WindowFeature
from recbench.features.online.arrays import Array, Integers
from recbench.features.online.columns import NULL
from recbench.features.online.incoming import Incoming
from recbench.features.online.jumps import Jumps, Marked
from recbench.features.online.plan import (
    CATEGORY_JUMP,
    SEQUENCE,
    TRACKER,
    StreamPlan,
    by_entity,
    stream_plans,
)
from recbench.features.online.stream import Appended, Stream
from recbench.features.online.table import EntityTable
from recbench.features.online.values import ValueTypes

__all__ = ["Changes", "Tables"]


@dataclass(slots=True, eq=False)
class Changes:
    """Which entities a batch touched, and which were dropped meanwhile."""

    touched: dict[Entity, Integers] = field(default_factory=dict)  # rows of the table, each once
    dropped: dict[Entity, pl.Series] = field(default_factory=dict)  # ids

    def touch(self, entity: Entity, rows: Integers) -> None:
        """Add rows; -1 is nobody."""
        known = self.touched.get(entity, rows[:0])
        self.touched[entity] = np.union1d(known, rows[rows >= 0])


class Tables:
    """One table a kind of entity. Arguments are those of ``OnlineState``, in microseconds."""

    def __init__(
        self, features: Sequence[Feature], *, max_events: int, idle_us: int | None
    ) -> None:
        self.plans = stream_plans(features)
        self.types = ValueTypes(_added_up(features))
        self._jumps = Jumps(self.types.strings_of(c.CATEGORY))
        self.by_entity: dict[Entity, EntityTable] = {
            entity: EntityTable(
                plans,
                self.types,
                names=[feature.name for feature in features if feature.entity == entity],
                max_events=max_events,
                idle_us=idle_us,
            )
            for entity, plans in by_entity(self.plans.values()).items()
        }

    def take(self, batch: Incoming, *, sequence: int, watermark_us: int | None) -> Changes:
        """Add rows, numbered from ``sequence`` on."""
        changes, rows = Changes(), {}
        for entity, table in self.by_entity.items():
            keys = batch.keys[entity]
            if "events" not in table.streams:  # shown entities that nobody clicked have nothing
                keys = np.where(batch.clicked, keys, NULL)
            rows[entity], dropped = table.add(keys, watermark_us=watermark_us)
            changes.touch(entity, rows[entity])
            changes.dropped[entity] = table.named(dropped)
        for key, plan in self.plans.items():
            stream = self._stream(plan)
            appended = _append(stream, batch, rows[plan.entity], watermark_us=watermark_us)
            if key == TRACKER and plan.jump_us is not None:
                marked = self._jumps.mark(stream, appended)
                self._correct(batch, marked, sequence=sequence, changes=changes)
        for entity, table in self.by_entity.items():
            table.truncate(changes.touched[entity])
        return changes

    def _stream(self, plan: StreamPlan) -> Stream:
        return self.by_entity[plan.entity].streams[plan.of]

    def _correct(self, batch: Incoming, marked: Marked, *, sequence: int, changes: Changes) -> None:
        """Give the rows of the batch their jumps, and older rows elsewhere the corrected ones."""
        tracker = self._stream(self.plans[TRACKER]).slabs
        if SEQUENCE not in tracker.columns:
            return  # no other stream has jumps
        jumps = batch.values[CATEGORY_JUMP]
        jumps[batch.clicked] = 0
        numbers = tracker.columns[SEQUENCE].values[marked.positions].astype(np.int64)
        new = numbers >= sequence
        jumps[numbers[new] - sequence] = marked.jumps[new]
        corrected = ~new & (marked.jumps != marked.were)
        at = marked.positions[corrected]
        for key, plan in self.plans.items():
            if key == TRACKER or CATEGORY_JUMP not in plan.columns or not len(at):
                continue
            if plan.entity == c.USER_ID:
                rows = marked.rows[corrected]
            else:
                ids = tracker.columns[plan.entity].known(at)
                rows = self.by_entity[plan.entity].index.rows(ids)
            changes.touch(plan.entity, rows)
            self._stream(plan).patch(
                CATEGORY_JUMP,
                rows,
                ts=tracker.ts[at],
                sequence=numbers[corrected],
                values=marked.jumps[corrected],
            )


def _append(
    stream: Stream, batch: Incoming, rows: Integers, *, watermark_us: int | None
) -> Appended:
    chosen = rows >= 0
    if stream.plan.of == "clicks":
        chosen &= batch.clicked
    values: Mapping[str, Array] = {
        name: batch.values[name][chosen] for name in stream.slabs.columns
    }
    return stream.append(rows[chosen], batch.ts[chosen], values, watermark_us=watermark_us)


def _added_up(features: Sequence[Feature]) -> list[str]:
    """The columns that must be numbers or booleans."""
    return [
        feature.value
        for feature in features
        if isinstance(feature, WindowFeature)
        and feature.value is not None
        and feature.aggregation != "n_unique"
    ]
