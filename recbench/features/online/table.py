"""All entities of one kind: their ids, their streams of events and what they answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from recbench.features.definitions import Entity, Of
from recbench.features.online.arrays import Integers, grown
from recbench.features.online.columns import NULL
from recbench.features.online.ids import IdIndex
from recbench.features.online.lookup_many import ManyEvents, many_answers
from recbench.features.online.lookup_one import Events, OneLookup
from recbench.features.online.plan import StreamPlan
from recbench.features.online.recent import RecentClicks, recent_clicks
from recbench.features.online.stream import Stream
from recbench.features.online.values import ValueTypes

__all__ = ["EntityTable"]

NOBODY = -1
FEWEST_SWEPT = 64


class EntityTable:
    """The entities of one kind by row.

    Args:
        plans: the streams of these entities.
        types: of the columns.
        names: of the features of these entities, in the order of the answers.
        max_events: of one entity in one stream.
        idle_us: how long an entity without events is kept; None keeps all that is left of it.
    """

    def __init__(
        self,
        plans: Sequence[StreamPlan],
        types: ValueTypes,
        *,
        names: Sequence[str],
        max_events: int,
        idle_us: int | None,
    ) -> None:
        self.entity: Entity = plans[0].entity
        self.index = IdIndex()
        self.streams: dict[Of, Stream] = {
            plan.of: Stream(plan, max_events=max_events) for plan in plans
        }
        self.names = list(names)
        self.truncated = np.zeros(0, dtype=bool)  # entities that lost events to the limit
        self.n_dropped = 0  # entities given up although something was left of them
        self._sweep_at = FEWEST_SWEPT  # entities, at which idle ones are looked for again
        self._types = types
        self._idle_us = idle_us
        self._lookups = {plan.of: OneLookup(plan, types) for plan in plans}

    @property
    def nbytes(self) -> int:
        """What all arrays take."""
        decayed = [d.values.nbytes for stream in self.streams.values() for d in stream.decayed]
        slabs = [stream.slabs.nbytes for stream in self.streams.values()]
        return self.index.nbytes + self.truncated.nbytes + sum(slabs) + sum(decayed)

    def add(self, ids: Integers, *, watermark_us: int | None) -> tuple[Integers, Integers]:
        """Rows of ids (N,), new ones where they are unknown, and the ids that were dropped.

        ``NULL`` has row -1. Whenever entities have become a quarter more, idle ones are dropped.
        """
        rows, dropped = self.index.rows(ids), ids[:0]
        new = np.unique(ids[(rows == NOBODY) & (ids != NULL)])
        if not len(new):
            return rows, dropped
        if len(self.index) + len(new) > self._sweep_at:
            dropped = self.sweep(watermark_us)
            new = np.union1d(new, np.intersect1d(dropped, ids))
            self._sweep_at = (len(self.index) + len(new)) * 5 // 4
        self.index.add(new)
        self.cover(self.index.n_rows)
        return self.index.rows(ids), dropped

    def cover(self, n_rows: int) -> None:
        """Have a place for entities up to row ``n_rows``."""
        if n_rows > len(self.truncated):
            self.truncated = grown(self.truncated, n_rows + n_rows // 4)
        for stream in self.streams.values():
            stream.cover(n_rows)

    def sweep(self, watermark_us: int | None) -> Integers:
        """Drop idle entities; gives their ids."""
        if watermark_us is None:
            return np.zeros(0, dtype=np.int64)
        rows = self.index.live_rows()
        idle, left = np.ones(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
        for stream in self.streams.values():
            stream.expire(rows, watermark_us=watermark_us)
            idle &= stream.idle(rows, watermark_us=watermark_us, idle_us=self._idle_us)
            left |= ~stream.idle(rows, watermark_us=watermark_us, idle_us=None)
        rows = rows[idle]
        self.n_dropped += int(np.count_nonzero(left[idle]))
        for stream in self.streams.values():
            stream.clear(rows)
        self.truncated[rows] = False
        self.index.remove(rows)
        return self.index.ids[rows]

    def truncate(self, rows: Integers) -> None:
        """Hold the entities to the limit of events."""
        for stream in self.streams.values():
            self.truncated[stream.truncate(rows)] = True

    def row(self, id_: int | str) -> int:
        """The row of one outside id; -1 where nothing of it is kept."""
        if isinstance(id_, str):
            id_ = self._types.strings_of(self.entity).code(id_)
        return self.index.row(id_)

    def rows(self, ids: pl.Series) -> Integers:
        """(N,) the rows of outside ids; -1 where nothing is kept, or the id is null."""
        if ids.dtype == pl.String:
            strings = self._types.strings_of(self.entity)
            keys = np.array([strings.code(id_) for id_ in ids.fill_null("")], dtype=np.int64)
            keys[ids.is_null().to_numpy()] = NULL
        else:
            keys = ids.fill_null(NULL).to_numpy()
        return self.index.rows(keys)

    def named(self, keys: Integers) -> pl.Series:
        """(N,) the outside ids of what the index knows them as."""
        strings = self._types.strings.get(self.entity)
        if strings is None:
            return pl.Series(self.entity, keys)
        return pl.Series(self.entity, strings.strings, dtype=pl.String).gather(keys)

    def one(self, row: int, at_us: int, names: Sequence[str] | None = None) -> dict[str, Any]:
        """The features of one entity, or those of the ``names``; without events for row -1."""
        answers: dict[str, Any] = dict.fromkeys(self.names if names is None else names)
        for of, stream in self.streams.items():
            if self._lookups[of].has_one_of(answers):
                self._lookups[of].answer(_events(stream, row), at_us, answers)
        return answers

    def recent(self, row: int, at_us: int, since_us: int | None = None) -> RecentClicks:
        """The latest clicks of one entity, of which the features ask for the items."""
        stream = self.streams["clicks"]
        events = _events(stream, row)
        return recent_clicks(events, k=stream.plan.last, at_us=at_us, since_us=since_us)

    def many(self, rows: Integers, at_us: Integers) -> list[pl.Series]:
        """The features of entities (N,), each at its own instant (N,)."""
        answers: dict[str, pl.Series] = {}
        for stream in self.streams.values():
            answers |= many_answers(stream.plan, self._types, _many(stream, rows), at_us=at_us)
        return [answers[name] for name in self.names]

    def popularity(self, name: str, at_us: int) -> pl.DataFrame:
        """The decayed popularity of all entities: their outside ids, and ``name``."""
        rows = self.index.live_rows()
        plan = self.streams["clicks"].plan
        only = replace(plan, features=tuple(f for f in plan.features if f.name == name))
        stream = self.streams["clicks"]
        place = [decayed.name for decayed in stream.decayed].index(name)
        events = _many(stream, rows)
        only_events = replace(events, folded=[events.folded[place]])
        instants = np.full(len(rows), at_us)
        values = many_answers(only, self._types, only_events, at_us=instants)
        return pl.DataFrame([self.named(self.index.ids[rows]), *values.values()])


def _events(stream: Stream, row: int) -> Events:
    slabs = stream.slabs
    begin, end = slabs.span(row) if row != NOBODY else (0, 0)
    folded = [decayed.folded(row) for decayed in stream.decayed]
    return Events(slabs.ts, slabs.columns, begin, end, folded)


def _many(stream: Stream, rows: Integers) -> ManyEvents:
    begins, ends = stream.slabs.spans(rows)
    folded = [decayed.folded_many(rows) for decayed in stream.decayed]
    return ManyEvents(stream.slabs.ts, stream.slabs.columns, begins, ends, folded)
