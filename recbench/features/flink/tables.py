"""Where Flink reads the log from, and where it writes the features to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.flink.dialect import name, sql_type, text

__all__ = ["JsonLines", "KafkaSink", "KafkaTopic", "sink_table", "source_tables"]

MILLISECOND = timedelta(milliseconds=1)

# The columns of every source besides its values.

# Columns of every source besides its values: MS is the row's t, ROWTIME its place in event time.
ARRIVAL, MS, LATE, CLICK = "flink_arrival", "flink_ms", "flink_late", "flink_click"
ROWTIME, PROCESSED = "flink_rowtime", "flink_proctime"
TOO_FINE = "Flink keeps whole milliseconds, but a message has ts "  # then the ts

# A cast that fails says what it was given: the only way to stop a job from within SQL.
TOPIC_MS = (
    "CASE WHEN CAST(CAST(`ts` AS TIMESTAMP_LTZ(3)) AS TIMESTAMP_LTZ(6)) = `ts` "
    "THEN EXTRACT(EPOCH FROM `ts`) * 1000 + EXTRACT(MILLISECOND FROM `ts`) "
    f"ELSE CAST({text(TOO_FINE)} || CAST(`ts` AS STRING) AS BIGINT) END"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaTopic:
    """A topic of canonical JSON messages, their ``ts`` as ISO 8601 in UTC."""

    bootstrap_servers: str
    topic: str
    allowed_lateness: timedelta
    ends: Mapping[int, int] | None = None  # partition -> offset to stop before; None: never stops
    properties: Mapping[str, str] = field(default_factory=dict)  # of Kafka's Java client

    def __post_init__(self) -> None:
        """Refuse a lateness below zero."""
        if self.allowed_lateness < timedelta(0):
            raise InputError(
                f"`allowed_lateness` must not be negative, got {self.allowed_lateness}"
            )

    @property
    def dtypes(self) -> Mapping[str, pl.DataType]:
        """Those of what a message can hold."""
        return c.EVENT_DTYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """A file of rows in the order in which they came.

    Each has ``flink_arrival`` (its number), ``flink_ms`` (since the epoch), ``flink_late``,
    ``flink_click`` and values.
    """

    path: Path
    dtypes: Mapping[str, pl.DataType]  # of the values
    disorder_ms: int  # how far a row may lie behind the newest one before it


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSink:
    """A topic that gets a JSON message of features for each row."""

    bootstrap_servers: str
    topic: str
    properties: Mapping[str, str] = field(default_factory=dict)


Source: TypeAlias = KafkaTopic | JsonLines


def source_tables(source: Source, columns: Mapping[str, pl.DataType]) -> list[str]:
    """Statements for ``asked`` and ``passed``: the same rows, the latter one millisecond later.

    Both have the place of the row in the source, ``flink_ms``, ``flink_rowtime``, ``flink_late``,
    ``flink_click`` and ``columns``.
    """
    statements = []
    for view, shift in (("asked", 0), ("passed", 1)):
        table = f"{view}_log"
        statements.append(_source_table(source, columns, table=table, shift=shift))
        values = [_value(source, column) for column in columns]
        shown = ", ".join([*place(source), MS, ROWTIME, _click(source), *values])
        late = f"{_late(source)} AS {LATE}"
        statements.append(f"CREATE TEMPORARY VIEW {view} AS\nSELECT {shown}, {late}\nFROM {table}")
    return statements


def place(source: Source) -> dict[str, str]:
    """The columns that say which row of the source it is, each with its type in SQL."""
    if isinstance(source, JsonLines):
        return {ARRIVAL: "BIGINT"}
    return {c.KAFKA_PARTITION: "INT", c.KAFKA_OFFSET: "BIGINT"}


def sink_table(sink: Path | KafkaSink, columns: Mapping[str, str]) -> str:
    """The statement for ``features``, with ``columns`` (name -> type in SQL)."""
    if isinstance(sink, KafkaSink):
        options = {"connector": "kafka", **_client(sink)}
    else:
        options = {"connector": "filesystem", "path": sink.absolute().as_uri()}
    declared = [f"{name(column)} {type_}" for column, type_ in columns.items()]
    return _create("features", declared, options)


def _source_table(
    source: Source, columns: Mapping[str, pl.DataType], *, table: str, shift: int
) -> str:
    values = {column: sql_type(dtype, column=column) for column, dtype in columns.items()}
    if isinstance(source, KafkaTopic):
        values[c.CLICKED] = "BOOLEAN"
    declared = [f"{name(column)} {type_}" for column, type_ in values.items()]
    if isinstance(source, KafkaTopic):
        ms, slack = TOPIC_MS, source.allowed_lateness // MILLISECOND
        declared += [
            f"{c.KAFKA_PARTITION} INT METADATA FROM 'partition' VIRTUAL",
            f"{c.KAFKA_OFFSET} BIGINT METADATA FROM 'offset' VIRTUAL",
            f"{name(c.TS)} TIMESTAMP_LTZ(6)",
            f"{MS} AS {ms}",
            f"{PROCESSED} AS PROCTIME()",
        ]
        options = {"connector": "kafka", **_client(source), **_range(source)}
    else:
        ms, slack = MS, source.disorder_ms
        declared += [f"{ARRIVAL} BIGINT", f"{MS} BIGINT", f"{LATE} BOOLEAN", f"{CLICK} BOOLEAN"]
        options = {"connector": "filesystem", "path": source.path.absolute().as_uri()}
    declared += [
        f"{ROWTIME} AS TO_TIMESTAMP_LTZ({ms} + {shift}, 3)",
        # a watermark says that nothing comes at it or before it, lateness that nothing comes before
        f"WATERMARK FOR {ROWTIME} AS TO_TIMESTAMP_LTZ({ms} + {shift} - {slack + 1}, 3)",
    ]
    return _create(table, declared, options)


def _click(source: Source) -> str:
    if isinstance(source, JsonLines):
        return CLICK
    return f"COALESCE({name(c.CLICKED)}, TRUE) AS {CLICK}"


def _value(source: Source, column: str) -> str:
    if isinstance(source, KafkaTopic) and column == c.CLICKED:
        return f"COALESCE({name(column)}, TRUE) AS {name(column)}"
    return name(column)


def _late(source: Source) -> str:
    if isinstance(source, JsonLines):
        return LATE
    # its own t never makes a row late: the lateness is not negative
    newest = (
        f"MAX({MS}) OVER (PARTITION BY {c.KAFKA_PARTITION} ORDER BY {PROCESSED} "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )
    return f"{MS} < {newest} - {source.allowed_lateness // MILLISECOND}"


def _client(topic: KafkaTopic | KafkaSink) -> dict[str, str]:
    properties = {"bootstrap.servers": topic.bootstrap_servers, **topic.properties}
    return {"topic": topic.topic} | {f"properties.{k}": v for k, v in properties.items()}


def _range(topic: KafkaTopic) -> dict[str, str]:
    from_start = {"scan.startup.mode": "earliest-offset"}
    if topic.ends is None:
        return from_start
    ends = ";".join(f"partition:{number},offset:{end}" for number, end in topic.ends.items())
    stop = {"scan.bounded.mode": "specific-offsets", "scan.bounded.specific-offsets": ends}
    return from_start | stop


def _create(table: str, declared: list[str], options: Mapping[str, str]) -> str:
    written = {**options, "format": "json", "json.timestamp-format.standard": "ISO-8601"}
    settings = ",\n  ".join(f"{text(key)} = {text(value)}" for key, value in written.items())
    body = ",\n  ".join(declared)
    return f"CREATE TEMPORARY TABLE {table} (\n  {body}\n) WITH (\n  {settings}\n)"
