"""Features kept up to date event by event, in the memory of one process."""

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack

import numpy as np
import polars as pl

from recbench.errors import InputError
from recbench.features.definitions import (
    DecayedPopularity,
    Entity,
    Feature,
    LastValues,
    WindowFeature,
)
from recbench.features.online import contents, snapshots
from recbench.features.online.asked import framed, no_features_of, points, require_exact
from recbench.features.online.incoming import incoming
from recbench.features.online.plan import microseconds, require_clicked_items
from recbench.features.online.recent import RecentClicks
from recbench.features.online.store import Ids, Instants, Updated
from recbench.features.online.table import EntityTable
from recbench.features.online.tables import Changes, Tables

__all__ = ["Limits", "OnlineState"]

MAX_EVENTS_PER_ENTITY = 65_536


class Limits(TypedDict, total=False):
    """What bounds the memory of a state."""

    max_events_per_entity: int
    idle_after: timedelta | None


class OnlineState:
    """The features of all entities at any instant from the watermark on, exactly.

    Rows may come out of order, as long as they are not late: each is put at its place, so that a
    lookup at t gives what ``features_at`` gives over all rows that have come. The events of one
    instant stand in the order in which they came. One thread may update while others look up.

    What no lookup from the watermark on can see is forgotten. An entity stays while anything can
    be told of it; with ``LastValues``, ``SinceLast`` or jumps between categories that is for ever,
    unless ``idle_after`` ends it.

    Args:
        features: what to answer.
        max_events_per_entity: how many events, and how many clicks, an entity may hold. Beyond
            that its oldest go and it counts in ``n_truncated``: its windows may lack them, and
            its popularity counts them even for instants before them.
        idle_after: an entity whose last event is so long before the watermark is given up and
            counts in ``n_dropped``; it is then as one that never had an event. None: never.

    Raises:
        InputError: no features, two of one name, a limit below the ``k`` of a ``LastValues``, or
            an ``idle_after`` shorter than a window.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        *,
        max_events_per_entity: int = MAX_EVENTS_PER_ENTITY,
        idle_after: timedelta | None = None,
    ) -> None:
        _check(features, max_events_per_entity=max_events_per_entity, idle_after=idle_after)
        self.features = tuple(features)
        self.n_rows = 0  # taken
        self.n_late = 0  # left out
        self.tables = Tables(
            features,
            max_events=max_events_per_entity,
            idle_us=None if idle_after is None else microseconds(idle_after),
        )
        self._watermark_us: int | None = None
        self._positions: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def watermark_us(self) -> int | None:
        """From which instant on lookups are exact; None: from any, as nothing was forgotten."""
        return self._watermark_us

    @property
    def positions(self) -> Mapping[str, int]:
        """Where to go on reading: partition of the stream -> next offset."""
        return dict(self._positions)

    @property
    def n_truncated(self) -> int:
        """Entities that have lost events to ``max_events_per_entity``."""
        return sum(int(table.truncated.sum()) for table in self.tables.by_entity.values())

    @property
    def n_dropped(self) -> int:
        """Entities given up after ``idle_after`` although something was left of them."""
        return sum(table.n_dropped for table in self.tables.by_entity.values())

    @property
    def memory_bytes(self) -> int:
        """What the arrays take, room to grow included; strings are left out."""
        return sum(table.nbytes for table in self.tables.by_entity.values())

    def update(
        self,
        events: pl.DataFrame,
        *,
        positions: Mapping[str, int] | None = None,
        watermark_us: int | None = None,
    ) -> Updated:
        """Take rows in their order of arrival, and with them the positions after them.

        A batch whose positions are all held already was taken before and is not taken again.

        Args:
            events: canonical, each ``event_id`` once. A row whose ``ts`` is before its
                ``watermark`` is late and left out; without the column no row is. A column that a
                feature names and the rows lack counts as null; without ``clicked`` every row is a
                click.
            positions: partition of the stream -> next offset, of those that the rows came from.
            watermark_us: microseconds since the epoch; rows before it will come no more, unless
                they are late. The smallest over the partitions, as ``Watermarks.current`` has it
                after these rows; what goes back is ignored. Without one nothing is forgotten.

        Raises:
            SchemaError: ``ts`` or an entity is missing, or a column has not the dtype it had.
            InputError: a value cannot be kept, or positions go back. Nothing has changed then.
        """
        updated, _ = self.apply(events, positions=positions, watermark_us=watermark_us)
        return updated

    def apply(
        self,
        events: pl.DataFrame,
        *,
        positions: Mapping[str, int] | None = None,
        watermark_us: int | None = None,
    ) -> tuple[Updated, Changes]:
        """What ``update`` does, and which entities it changed."""
        with self._lock:
            updated, changes = Updated(), Changes()
            if len(events) and not self._has(positions or {}):
                tables = self.tables
                plans = tables.plans.values()
                batch = incoming(events, plans, tables.types, sequence=self.n_rows)
                changes = tables.take(batch, sequence=self.n_rows, watermark_us=self._watermark_us)
                updated = Updated(n_rows=len(batch.ts), n_late=batch.n_late)
            self.n_rows += updated.n_rows
            self.n_late += updated.n_late
            self._positions |= positions or {}
            if watermark_us is not None:
                held = self._watermark_us
                self._watermark_us = watermark_us if held is None else max(held, watermark_us)
            return updated, changes

    def lookup(self, entity: Entity, id_: int | str | None, *, at_us: int) -> dict[str, Any]:
        """The features of one entity, by name; all None for no entity.

        Args:
            entity: one that features are declared of.
            id_: its id; one that never came is as one without events.
            at_us: t, microseconds since the epoch; what happened at t or later does not count.

        Raises:
            InputError: no feature of such an entity, or ``at_us`` is before the watermark.
        """
        with self._lock:
            table = self._table(entity, at_us)
            if id_ is None:
                return dict.fromkeys(table.names)
            return table.one(table.row(id_), at_us)

    def lookup_user(
        self,
        user_id: int,
        *,
        at_us: int,
        names: Sequence[str] | None = None,
        since_us: int | None = None,
    ) -> tuple[dict[str, Any], RecentClicks]:
        """What ``lookup`` gives of a user, and the user's latest clicks, both of one instant.

        Args:
            user_id: who.
            at_us: microseconds since the epoch.
            names: the features that are wanted, None for one that there is not; default: all.
            since_us: only clicks later than that; default: the latest, however long ago.

        Raises:
            InputError: as for ``lookup``, or no feature keeps the items that users clicked last.
        """
        require_clicked_items(self.tables.plans)
        with self._lock:
            table = self._table("user_id", at_us)
            row = table.row(user_id)
            return table.one(row, at_us, names), table.recent(row, at_us, since_us)

    def lookup_many(self, entity: Entity, ids: Ids, *, at_us: Instants) -> pl.DataFrame:
        """The features of entities (N,): their id, ``ts`` and a column a feature.

        The values are those of ``lookup``; ``at_us`` is one instant for all or one each (N,).

        Raises:
            InputError: no feature of such an entity, or an instant is before the watermark.
        """
        asked, instants = points(entity, ids, at_us)
        with self._lock:
            table = self._table(entity, int(instants.min(initial=np.iinfo(np.int64).max)))
            answers = table.many(table.rows(asked), instants)
        return framed(asked, instants, answers)

    def popularity(self, name: str, *, at_us: int) -> pl.DataFrame:
        """A decayed popularity of all entities that have any: their id, and a column ``name``.

        Raises:
            InputError: no such feature, or ``at_us`` is before the watermark.
        """
        declared = {f.name: f for f in self.features if isinstance(f, DecayedPopularity)}
        if name not in declared:
            raise InputError(f"No decayed popularity is called {name!r}, only {[*declared]}")
        with self._lock:
            return self._table(declared[name].entity, at_us).popularity(name, at_us)

    def sweep(self) -> None:
        """Drop idle entities now; as new ones come it happens by itself."""
        with self._lock:
            for table in self.tables.by_entity.values():
                table.sweep(self._watermark_us)

    def snapshot(self, path: Path) -> None:
        """Write the state and its positions to one file, whole or not at all."""
        with self._lock:
            header = self.header() | {"strings": contents.strings_of(self.tables)}
            saved = snapshots.Captured(header, contents.arrays_of(self.tables))
        snapshots.write(path, saved)

    @classmethod
    def restore(cls, path: Path, features: Sequence[Feature], **limits: Unpack[Limits]) -> Self:
        """The state that ``snapshot`` wrote; reading goes on at its ``positions``.

        Args:
            path: the file.
            features: those of the snapshot; units may differ.
            limits: as for a new state; they need not be those of the old one.

        Raises:
            InputError: no such file, not a whole one or none of a state, or of other features.
        """
        return cls.resumed(snapshots.read(path), features, **limits)

    @classmethod
    def resumed(
        cls, saved: snapshots.Captured, features: Sequence[Feature], **limits: Unpack[Limits]
    ) -> Self:
        """The state whose header, strings and arrays are ``saved``."""
        snapshots.require_same_features(features, saved.header)
        state = cls(features, **limits)
        contents.fill(state.tables, saved)
        state.n_rows, state.n_late = saved.header["n_rows"], saved.header["n_late"]
        state._watermark_us = saved.header["watermark_us"]
        state._positions = saved.header["positions"]
        return state

    def header(self) -> dict[str, Any]:
        """All that is neither array nor string, as JSON values."""
        return contents.header_of(self.tables, self.features) | {
            "watermark_us": self._watermark_us,
            "positions": dict(self._positions),
            "n_rows": self.n_rows,
            "n_late": self.n_late,
        }

    def _has(self, positions: Mapping[str, int]) -> bool:
        """Whether all that comes before ``positions`` was taken."""
        back = {p: at for p, at in positions.items() if at < self._positions.get(p, at)}
        if back:
            held = {partition: self._positions[partition] for partition in back}
            raise InputError(f"`positions` go back to {back} from {held}; read on from there")
        new = [p for p, at in positions.items() if at != self._positions.get(p)]
        return bool(positions) and not new

    def _table(self, entity: Entity, at_us: int) -> EntityTable:
        require_exact(at_us, self._watermark_us)
        table = self.tables.by_entity.get(entity)
        if table is None:
            raise no_features_of(entity, self.features)
        return table


def _check(
    features: Sequence[Feature], *, max_events_per_entity: int, idle_after: timedelta | None
) -> None:
    names = [feature.name for feature in features]
    if not names or len(set(names)) < len(names):
        raise InputError(f"`features` must have features, each of its own name; got {names}")
    longest = max((f.k for f in features if isinstance(f, LastValues)), default=1)
    if max_events_per_entity < longest:
        raise InputError(
            f"`max_events_per_entity` must be at least {longest}, the events that a feature "
            f"asks for; got {max_events_per_entity}"
        )
    windows = (f.window for f in features if isinstance(f, WindowFeature))
    window = max(windows, default=timedelta(0))
    if idle_after is not None and idle_after < window:
        raise InputError(
            f"`idle_after` must be at least the longest window, {window}; got {idle_after}"
        )
