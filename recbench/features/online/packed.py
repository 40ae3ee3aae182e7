"""One entity of a table as bytes, and back."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbench.features.definitions import DecayedPopularity
from recbench.features.online.columns import Column
from recbench.features.online.lookup_many import ManyEvents
from recbench.features.online.lookup_one import Events
from recbench.features.online.plan import StreamPlan
from recbench.features.online.table import EntityTable

__all__ = ["Packed", "joined", "nothing", "packed", "unpacked"]

HEAD, LENGTH, FOLDED = struct.Struct("<?"), struct.Struct("<I"), struct.Struct("<dq")
DTYPES = [np.dtype(code) for code in ("<i1", "<i2", "<i4", "<i8", "<f8")]
INSTANT = np.dtype("<i8")


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """What is kept of one entity."""

    truncated: bool
    streams: list[Events]  # in the order of the plans


def packed(table: EntityTable, row: int) -> bytes:
    """All that is kept of one entity."""
    parts = [HEAD.pack(table.truncated.item(row))]
    for stream in table.streams.values():
        slabs = stream.slabs
        begin, end = slabs.span(row)
        parts += [LENGTH.pack(end - begin), slabs.ts[begin:end].tobytes()]
        for column in slabs.columns.values():
            code = DTYPES.index(column.values.dtype)
            parts += [bytes([code]), column.values[begin:end].tobytes()]
        parts += [FOLDED.pack(*decayed.folded(row)) for decayed in stream.decayed]
    return b"".join(parts)


def unpacked(blob: bytes, plans: Sequence[StreamPlan]) -> Packed:
    """What ``packed`` gave, for the streams of the entity."""
    (truncated,) = HEAD.unpack_from(blob)
    streams, at = [], HEAD.size
    for plan in plans:
        (length,) = LENGTH.unpack_from(blob, at)
        at += LENGTH.size
        ts = np.frombuffer(blob, INSTANT, length, at)
        at += ts.nbytes
        columns = {}
        for name in plan.columns:
            values = np.frombuffer(blob, DTYPES[blob[at]], length, at + 1)
            columns[name] = Column(values)
            at += 1 + values.nbytes
        folded: list[tuple[float, int]] = []
        for _ in range(_n_decayed(plan)):
            folded.append(FOLDED.unpack_from(blob, at))
            at += FOLDED.size
        streams.append(Events(ts, columns, 0, length, folded))
    return Packed(truncated, streams)


def nothing(plans: Sequence[StreamPlan]) -> Packed:
    """What is kept of an entity that never had an event."""
    none = np.zeros(0, dtype=INSTANT)
    streams = [
        Events(none, dict.fromkeys(plan.columns, Column(none)), 0, 0, [(0.0, 0)] * _n_decayed(plan))
        for plan in plans
    ]
    return Packed(truncated=False, streams=streams)


def joined(events: Sequence[Events], plan: StreamPlan) -> ManyEvents:
    """The events of several entities in one array, one entity after the other."""
    lengths = np.array([one.end - one.begin for one in events], dtype=np.int64)
    ends = np.cumsum(lengths)
    none = np.zeros(0, dtype=np.int64)
    folded = [
        (
            np.array([one.folded[n][0] for one in events]),
            np.array([one.folded[n][1] for one in events]),
        )
        for n in range(_n_decayed(plan))
    ]
    return ManyEvents(
        ts=np.concatenate([none, *(one.ts for one in events)]),
        columns={name: Column.joined(one.columns[name] for one in events) for name in plan.columns},
        begins=ends - lengths,
        ends=ends,
        folded=folded,
    )


def _n_decayed(plan: StreamPlan) -> int:
    return sum(isinstance(feature, DecayedPopularity) for feature in plan.features)
