"""Kafka messages as canonical rows: JSON decoded by typed structs, what does not fit set aside.

A message is one JSON object with the canonical columns of an event. ``user_id``, ``item_id`` and
``ts`` must be there; what is left out is null, and a row without ``clicked`` is one: a plain
interaction. ``ts`` and ``arrival_ts`` are ISO 8601 texts, UTC where they name no zone, or integer
microseconds since the epoch. ``features`` holds what the server logged with an exposure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.events.message_types import (
    FEATURES,
    POLARS_TYPES,
    EventMessage,
    FieldType,
    message_type,
)
from recbench.tables.event_ids import hashed_ids
from recbench.tables.instants import utc_instants

__all__ = ["DEAD_LETTER_DTYPES", "Decoded", "IdType", "MessageDecoder", "Messages"]

IdType = Literal["int", "string"]

VALUE, KEY = "value", "key"
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # before it a time is a mistake, such as of the unit
NAMES_UNKNOWN = "unknown field"  # in the message of the error for a field without a column

DEAD_LETTER_DTYPES: dict[str, pl.DataType] = {
    c.REASON: pl.String(),
    c.KAFKA_PARTITION: pl.Int32(),
    c.KAFKA_OFFSET: pl.Int64(),
    c.ARRIVAL_TS: c.INSTANT,
    KEY: pl.Binary(),
    VALUE: pl.Binary(),
}


COLUMNS = tuple(name for name in EventMessage.__struct_fields__ if name != FEATURES)
INSTANTS, IDS = (c.TS, c.ARRIVAL_TS), (c.EVENT_ID, c.REQUEST_ID)
ARRIVED = "arrived"
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Rows: TypeAlias = npt.NDArray[np.int64]
Problems: TypeAlias = list[tuple[pl.Series, str]]  # which rows, and why they cannot be stored


@dataclass(frozen=True, slots=True)
class Messages:
    """N messages side by side; within a partition in the order of their offsets."""

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    partitions: npt.NDArray[np.int32]  # (N,)
    offsets: npt.NDArray[np.int64]  # (N,)
    arrived_ms: Sequence[int]  # milliseconds since the epoch, as the broker or the producer says

    def __len__(self) -> int:
        """N."""
        return len(self.values)


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The events of some messages, and the messages that are none, each with its reason."""

    events: pl.DataFrame  # canonical, with kafka_partition and kafka_offset
    dead_letters: pl.DataFrame  # DEAD_LETTER_DTYPES


class MessageDecoder:
    """Messages to canonical events.

    Args:
        source: what the messages come from, such as cluster and topic; part of the ids of events
            that have none.
        id_type: of ``event_id`` and ``request_id``: "int" refuses texts that are no integer.
        max_message_bytes: larger ones are set aside unread.
        max_ahead: how far ``ts`` may lie ahead of the message's arrival; one wrong clock would
            make every later event late.
        fields: further fields that get a column of their own, each null where a message has none.

    Raises:
        InputError: a field has the name of a canonical or a stream's column.
    """

    def __init__(
        self,
        source: str,
        *,
        id_type: IdType = "int",
        max_message_bytes: int = 1 << 20,
        max_ahead: timedelta = timedelta(minutes=5),
        fields: Mapping[str, FieldType] | None = None,
    ) -> None:
        self._source = source
        self._types = dict(fields or {})
        self._id_dtype: pl.DataType = pl.Int64() if id_type == "int" else pl.String()
        self._max_bytes = max_message_bytes
        self._max_ahead = max_ahead
        message = message_type(self._types)
        self._names = frozenset(message.__struct_fields__)
        self._decoder = msgspec.json.Decoder(message)
        self._fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

    def decode(self, messages: Messages) -> Decoded:
        """Every message as an event or as a dead letter, in the order given."""
        parsed: list[EventMessage] = []
        rows: list[int] = []
        extra: dict[int, str] = {}  # row -> the fields that have no column, as JSON
        reasons: dict[int, str] = {}
        decode, limit = self._decoder.decode, self._max_bytes
        for row, value in enumerate(messages.values):
            if value is None or len(value) > limit:
                reasons[row] = self._unread(value)
                continue
            try:
                parsed.append(decode(value))
            except DECODE_ERRORS as error:
                rescued = self._rescued(value, error)
                if isinstance(rescued, str):
                    reasons[row] = rescued
                    continue
                parsed.append(rescued[0])
                extra[row] = rescued[1]
            rows.append(row)
        events, problems = self._events(parsed, np.asarray(rows, dtype=np.int64), messages)
        if extra:
            texts = pl.Series(c.EXTRA, [extra.get(row) for row in rows], dtype=pl.String)
            events = events.with_columns(texts)
        for bad, reason in reversed(problems):  # the first that holds is the one that stays
            reasons |= {rows[at]: reason for at in bad.arg_true()}
        if reasons:
            usable = [row not in reasons for row in rows]
            events = events.filter(pl.Series(usable, dtype=pl.Boolean))
        return Decoded(events, _dead_letters(messages, reasons))

    def _unread(self, value: bytes | None) -> str:
        if value is None:
            return "the message is empty"
        return f"the message has {len(value)} bytes; the limit is {self._max_bytes}"

    def _rescued(self, value: bytes, error: Exception) -> tuple[EventMessage, str] | str:
        """The event and its unknown fields, or the reason why it is none."""
        if NAMES_UNKNOWN not in str(error):
            return _explained(error)
        try:
            fields = self._fields.decode(value)
            known = {name: raw for name, raw in fields.items() if name in self._names}
            others = {name: raw for name, raw in fields.items() if name not in self._names}
            event = self._decoder.decode(msgspec.json.encode(known))
        except DECODE_ERRORS as second:
            return _explained(second)
        return event, msgspec.json.encode(others).decode()

    def _events(
        self, parsed: list[EventMessage], rows: Rows, messages: Messages
    ) -> tuple[pl.DataFrame, Problems]:
        """A row each, and what cannot be stored of them, by the first reason that holds."""
        names = [*COLUMNS, *self._types]
        made = [self._column(name, [getattr(one, name) for one in parsed]) for name in names]
        features = [event.features for event in parsed]
        if any(one is not None for one in features):
            texts = [None if one is None else msgspec.json.encode(one).decode() for one in features]
            made.append((pl.Series(c.FEATURES_SERVED, texts, dtype=pl.String), []))
        partitions = messages.partitions[rows]
        offsets = messages.offsets[rows]
        arrived = np.asarray(messages.arrived_ms, dtype=np.int64)[rows] * 1_000
        events = pl.DataFrame(
            [
                *(series for series, _ in made),
                pl.Series(c.KAFKA_PARTITION, partitions),
                pl.Series(c.KAFKA_OFFSET, offsets),
            ]
        )
        problems = [problem for _, found in made for problem in found]
        arrival = pl.Series(ARRIVED, arrived).cast(c.INSTANT)
        problems += _absurd(events[c.TS], arrival, max_ahead=self._max_ahead)
        return self._completed(events, arrival), problems

    def _column(self, name: str, values: list[Any]) -> tuple[pl.Series, Problems]:
        """The values at their dtype, and where one was given that has no place in it."""
        if name in INSTANTS:
            series, kind = _instants(name, values), "a time"
        elif name in IDS:
            series, kind = _ids(name, values, self._id_dtype), "an integer"
        else:
            own = self._types.get(name)
            dtype = c.EVENT_DTYPES[name] if own is None else POLARS_TYPES[own]
            return pl.Series(name, values, dtype=dtype), []
        if series.null_count() == values.count(None):
            return series, []
        given = pl.Series([value is not None for value in values])
        return series, [(series.is_null() & given, f"{name} is not {kind}")]

    def _completed(self, events: pl.DataFrame, arrival: pl.Series) -> pl.DataFrame:
        """With an ``event_id`` and an ``arrival_ts`` where the message had none."""
        known = events[c.ARRIVAL_TS]
        if known.null_count():
            given = known.null_count() < len(known)
            filled = known.fill_null(arrival) if given else arrival.alias(c.ARRIVAL_TS)
            events.replace_column(events.get_column_index(c.ARRIVAL_TS), filled)
        if not events[c.EVENT_ID].null_count():
            return events
        numbers = pl.col(c.KAFKA_PARTITION, c.KAFKA_OFFSET, c.USER_ID, c.ITEM_ID)
        parts = events.select(numbers, pl.col(c.TS).dt.epoch("us").fill_null(0))
        hashed = hashed_ids(parts, source=self._source).cast(self._id_dtype)
        return events.with_columns(pl.col(c.EVENT_ID).fill_null(hashed))


def _instants(name: str, values: list[Any]) -> pl.Series:
    try:
        return utc_instants(pl.Series(name, values, dtype=pl.String))
    except TypeError:  # integers among them
        texts = pl.Series(
            name, [v if isinstance(v, str) else None for v in values], dtype=pl.String
        )
        numbers = [v if isinstance(v, int) else None for v in values]
        return utc_instants(texts).fill_null(pl.Series(numbers, dtype=pl.Int64).cast(c.INSTANT))


def _ids(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    try:
        return pl.Series(name, values, dtype=dtype)
    except TypeError:  # numbers written as texts, or the other way round
        texts = [value if value is None else str(value) for value in values]
        return pl.Series(name, texts, dtype=pl.String).cast(dtype, strict=False)


def _absurd(ts: pl.Series, arrival: pl.Series, *, max_ahead: timedelta) -> Problems:
    early, ahead = ts < EARLIEST, ts > arrival + max_ahead
    if not (early.any() or ahead.any()):
        return []
    return [
        (early, f"ts is before {EARLIEST.year}; integers are microseconds since the epoch"),
        (ahead, f"ts is more than {max_ahead} ahead of the message's arrival"),
    ]


def _explained(error: Exception) -> str:
    """The reason in few words, without values: reasons are counted."""
    if isinstance(error, RecursionError):
        return "not JSON: nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not JSON: the text is not UTF-8"
    if isinstance(error, msgspec.ValidationError):
        return str(error)
    return f"not JSON: {str(error).partition(' (byte')[0]}"


def _dead_letters(messages: Messages, reasons: dict[int, str]) -> pl.DataFrame:
    rows = sorted(reasons)
    columns: dict[str, list[Any]] = {
        c.REASON: [reasons[row] for row in rows],
        c.KAFKA_PARTITION: messages.partitions[rows].tolist(),
        c.KAFKA_OFFSET: messages.offsets[rows].tolist(),
        c.ARRIVAL_TS: [messages.arrived_ms[row] * 1_000 for row in rows],
        KEY: [messages.keys[row] for row in rows],
        VALUE: [messages.values[row] for row in rows],
    }
    return pl.DataFrame(columns, schema=DEAD_LETTER_DTYPES)
