"""Rows of a log as arrays, checked before anything of the state changes."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import SchemaError
from recbench.features.definitions import Entity
from recbench.features.online.arrays import Array, Integers
from recbench.features.online.columns import NULL
from recbench.features.online.plan import CATEGORY_JUMP, SEQUENCE, StreamPlan
from recbench.features.online.values import ValueTypes

__all__ = ["Incoming", "incoming"]


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """N rows that are not late, in order of arrival."""

    ts: Integers
    clicked: Array  # bool
    keys: dict[Entity, Integers]  # of each entity: id, or code of a string; NULL for none
    values: dict[str, Array]
    n_late: int


def incoming(
    events: pl.DataFrame, plans: Collection[StreamPlan], types: ValueTypes, *, sequence: int
) -> Incoming:
    """The rows of ``events``, numbered from ``sequence`` on, without the late ones.

    Raises:
        SchemaError: ``ts`` or an entity is missing, null where it must not be, or of another dtype.
        InputError: a value cannot be kept.
    """
    entities = {plan.entity for plan in plans}
    _check(events, entities)
    n_late = 0
    if c.WATERMARK in events.columns:
        on_time = (events[c.TS] >= events[c.WATERMARK]).fill_null(True)
        n_late = len(events) - int(on_time.sum())
        events = events.filter(on_time) if n_late else events
    numbers = np.arange(sequence, sequence + len(events))
    values: dict[str, Array] = {SEQUENCE: numbers, CATEGORY_JUMP: np.full(len(events), NULL)}
    for name in {*entities, *(name for plan in plans for name in plan.columns)} - {*values}:
        values[name] = types.encoded(events, name)
    return Incoming(
        ts=events[c.TS].cast(pl.Int64).to_numpy(),
        clicked=_clicked(events),
        keys={entity: values[entity] for entity in entities},
        values=values,
        n_late=n_late,
    )


def _check(events: pl.DataFrame, entities: Iterable[Entity]) -> None:
    for name in (c.TS, *sorted(entities)):
        dtype = events.schema.get(name)
        if dtype != c.EVENT_DTYPES[name]:
            raise SchemaError(f"`events` need `{name}` as {c.EVENT_DTYPES[name]}, got {dtype}")
    if CATEGORY_JUMP in events.columns:
        raise SchemaError(f"`{CATEGORY_JUMP}` is made from the clicks here; leave the column out")
    if nulls := events[c.TS].null_count():
        raise SchemaError(f"`ts` is null in {nulls} of {len(events)} rows of `events`")


def _clicked(events: pl.DataFrame) -> Array:
    if c.CLICKED not in events.columns:
        return np.ones(len(events), dtype=bool)
    return events[c.CLICKED].fill_null(False).to_numpy()
