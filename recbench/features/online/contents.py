"""What is in the tables of an online state: arrays, strings, and a header of JSON values."""

from collections.abc import Sequence
from typing import Any

from recbench.features.definitions import Feature, to_json
from recbench.features.online.arrays import Array, flat_ranges
from recbench.features.online.snapshots import FORMAT, Captured
from recbench.features.online.tables import Tables
from recbench.features.online.values import DTYPES

__all__ = ["arrays_of", "fill", "header_of", "strings_of"]


def header_of(tables: Tables, features: Sequence[Feature]) -> dict[str, Any]:
    """What the arrays do not say of the tables, but for their strings."""
    by_entity = tables.by_entity
    streams = [stream for table in by_entity.values() for stream in table.streams.values()]
    return {
        "format": FORMAT,
        "features": to_json(features),
        "dtypes": {name: str(dtype) for name, dtype in tables.types.dtypes.items()},
        "n_dropped": {entity: table.n_dropped for entity, table in by_entity.items()},
        "references": {d.name: d.reference for stream in streams for d in stream.decayed},
    }


def strings_of(tables: Tables) -> dict[str, list[str]]:
    """The strings by their codes, of each column of strings."""
    return {name: list(strings.strings) for name, strings in tables.types.strings.items()}


def arrays_of(tables: Tables) -> dict[str, Array]:
    """A copy of all arrays, without room to grow."""
    arrays: dict[str, Array] = {}
    for entity, table in tables.by_entity.items():
        rows = table.index.live_rows()
        arrays[f"{entity}.ids"] = table.index.ids[rows]
        arrays[f"{entity}.truncated"] = table.truncated[rows]
        for of, stream in table.streams.items():
            begins, ends = stream.slabs.spans(rows)
            at = flat_ranges(begins, ends - begins)
            arrays[f"{entity}.{of}.lengths"] = ends - begins
            arrays[f"{entity}.{of}.ts"] = stream.slabs.ts[at]
            for name, column in stream.slabs.columns.items():
                arrays[f"{entity}.{of}.{name}"] = column.values[at]
            for decayed in stream.decayed:
                arrays[f"decayed.{decayed.name}"] = decayed.values[rows]
    return arrays


def fill(tables: Tables, saved: Captured) -> None:
    """Bring new tables to what ``header_of``, ``strings_of`` and ``arrays_of`` gave."""
    header, arrays = saved.header, saved.arrays
    for name, strings in header["strings"].items():
        tables.types.strings_of(name).extend(strings)
    for name, dtype in header["dtypes"].items():
        tables.types.learn(name, DTYPES[dtype])
    for entity, table in tables.by_entity.items():
        ids = arrays[f"{entity}.ids"]
        table.index.add(ids)  # into an empty index: rows 0 on
        table.cover(len(ids))
        table.truncated[: len(ids)] = arrays[f"{entity}.truncated"]
        table.n_dropped = header["n_dropped"][entity]
        for of, stream in table.streams.items():
            prefix = f"{entity}.{of}."
            columns = {name: arrays[prefix + name] for name in stream.slabs.columns}
            stream.slabs.load(arrays[prefix + "lengths"], arrays[prefix + "ts"], columns)
            for decayed in stream.decayed:
                decayed.values[: len(ids)] = arrays[f"decayed.{decayed.name}"]
                decayed.reference = header["references"][decayed.name]
