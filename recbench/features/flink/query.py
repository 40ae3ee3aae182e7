"""Features as a streaming SQL job for Apache Flink, made from their declarations.

Flink drops what comes behind its watermark without a word. Ours trails by a millisecond more than
the allowed lateness, so that nothing is dropped but late rows; and those the query finds by itself,
from the order of each partition, as ``tables/watermarks.py`` defines them.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.definitions import Feature
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
from recbench.features.flink.windows import JUMP, Windows, result_dtype

__all__ = ["columns_of", "flink_sql"]


def columns_of(features: Iterable[Feature]) -> list[str]:
    """The columns that a source must have for ``features``, besides ``ts`` and ``clicked``."""
    names: list[str | None] = []
    for feature in features:
        value = getattr(feature, "value", None)
        names += [feature.entity, *([c.USER_ID, c.CATEGORY] if value == JUMP else [value])]
    return [each for each in dict.fromkeys(names) if each is not None and each != c.CLICKED]


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
    windows = Windows(dtypes)
    results = {feature.name: windows.result(feature) for feature in features}
    types = {
        feature.name: sql_type(result_dtype(feature, dtypes), column=feature.name)
        for feature in features
    }
    from_topic = isinstance(source, KafkaTopic)
    answers = f"SELECT {', '.join([*shown, *results.values()])}\nFROM answered"
    if from_topic:
        nothing = [f"CAST(NULL AS {type_})" for type_ in types.values()]
        answers += f"\nUNION ALL\nSELECT {', '.join([*shown, *nothing])}\nFROM asked WHERE {LATE}"
    entities = [c.USER_ID, c.ITEM_ID] if from_topic else []
    entities = list(dict.fromkeys([*entities, *(feature.entity for feature in features)]))
    return (
        *source_tables(source, dtypes),
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
    needed = columns_of(features)
    if isinstance(source, KafkaTopic):
        held: Mapping[str, pl.DataType] = c.EVENT_DTYPES
        needed = list(dict.fromkeys([c.USER_ID, c.ITEM_ID, *needed]))
    else:
        held = source.dtypes
    missing = [column for column in needed if column not in held]
    if missing:
        raise InputError(f"The source has no {missing}; it has {list(held)}")
    return {column: held[column] for column in needed}
