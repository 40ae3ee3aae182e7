"""Features as a streaming SQL job for Apache Flink, made from their declarations.

Flink drops what comes behind its watermark without a word. Ours trails by a millisecond more than
the allowed lateness, so that nothing is dropped but late rows; and those the query finds by itself,
from the order of each partition, as ``tables/watermarks.py`` defines them.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.definitions import Feature
from recbench.features.derived import DERIVED
from recbench.features.flink.dialect import name, sql_type
from recbench.features.flink.tables import (
    LATE,
    MS,
    KafkaSink,
    KafkaTopic,
    Source,
    place,
    sink_table,
    source_tables,
)
from recbench.features.flink.windows import Windows
from recbench.features.prepared import VALUE, result_dtype

__all__ = ["columns_of", "flink_sql", "result_dtypes"]


def columns_of(features: Iterable[Feature], held: Container[str]) -> list[str]:
    """The columns that ``features`` are made of, besides ``ts``, each once.

    A derived value is one of them where it is among the columns that are ``held``.
    """
    names: list[str] = []
    for feature in features:
        names.append(feature.entity)
        value: str | None = getattr(feature, "value", None)
        if value is not None:
            names += DERIVED[value] if value in DERIVED and value not in held else [value]
    return list(dict.fromkeys(names))


def result_dtypes(
    features: Iterable[Feature], dtypes: Mapping[str, pl.DataType]
) -> dict[str, pl.DataType]:
    """What each feature's values are, by its name; the source's columns have ``dtypes``."""
    known = {**dict.fromkeys(DERIVED, pl.Int64()), **dtypes}
    schema = pl.Schema({f"{VALUE}{column}": dtype for column, dtype in known.items()})
    return {feature.name: result_dtype(feature, schema) for feature in features}


def flink_sql(
    source: Source, features: Sequence[Feature], *, sink: Path | KafkaSink
) -> tuple[str, ...]:
    """The statements of a Flink job that computes the features; the last one is the INSERT.

    Each row of the source comes out once, with its place there. A topic's late rows come out with
    ``late`` true and every feature null: Flink has forgotten what they ask for. Messages are not
    deduplicated. While a partition of a topic is silent, all features wait for its watermark.

    Args:
        source: where the rows are. Events of one instant stand in the order of their partition;
            those of different partitions in any.
        features: what to compute. Sums of floats carry the rounding of every addition to and
            subtraction from their window; integers are exact.
        sink: a folder for files of JSON lines, or a topic.

    Raises:
        InputError: a name is taken, a window is shorter than a millisecond or longer than 999
            days, the source has no such column, or ``LastValues`` asks for jumps of others than
            the clicks of users.
        SchemaError: a column is of a type that cannot be aggregated so.
    """
    dtypes = _dtypes(source, features)
    shown = _shown(source, dtypes)
    names = [feature.name for feature in features]
    taken = [column for column, _ in shown.values()]
    if not names or len({*names, *taken}) < len(names) + len(taken):
        raise InputError(
            f"Flink needs features, each with a name of its own and none of {taken}; got {names}"
        )
    sources = source_tables(source, dtypes)
    windows = Windows(dtypes)
    results = {feature.name: windows.result(feature) for feature in features}
    types = {
        feature: sql_type(dtype, column=feature)
        for feature, dtype in result_dtypes(features, dtypes).items()
    }
    from_topic = isinstance(source, KafkaTopic)
    answers = f"SELECT {', '.join([*shown, *results.values()])}\nFROM answered"
    if from_topic:
        nothing = [f"CAST(NULL AS {type_})" for type_ in types.values()]
        answers += f"\nUNION ALL\nSELECT {', '.join([*shown, *nothing])}\nFROM asked WHERE {LATE}"
    entities = [c.USER_ID, c.ITEM_ID] if from_topic else []
    entities = list(dict.fromkeys([*entities, *(feature.entity for feature in features)]))
    return (
        *sources,
        *windows.views(place(source), entities=entities, every=not from_topic),
        sink_table(sink, dict(shown.values()) | types),
        f"INSERT INTO features\n{answers}",
    )


def _shown(source: Source, dtypes: Mapping[str, pl.DataType]) -> dict[str, tuple[str, str]]:
    """What comes out besides features: SQL -> column, type."""
    shown = {column: (column, type_) for column, type_ in place(source).items()}
    if isinstance(source, KafkaTopic):
        shown |= {
            name(key): (key, sql_type(dtypes[key], column=key)) for key in (c.USER_ID, c.ITEM_ID)
        }
        shown[f"TO_TIMESTAMP_LTZ({MS}, 3)"] = (c.TS, "TIMESTAMP_LTZ(3)")
        shown[LATE] = ("late", "BOOLEAN")
    return shown


def _dtypes(source: Source, features: Sequence[Feature]) -> dict[str, pl.DataType]:
    """Those of the columns that the job reads."""
    held = source.dtypes
    shown = [c.USER_ID, c.ITEM_ID] if isinstance(source, KafkaTopic) else []
    needed = list(dict.fromkeys([*shown, *columns_of(features, held)]))
    missing = [column for column in needed if column not in held]
    if missing:
        raise InputError(f"The source has no {missing}; it has {list(held)}")
    return {column: held[column] for column in needed}
