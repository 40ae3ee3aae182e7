"""What one message may hold: the canonical fields, and those that a stream declares besides."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import polars as pl
from msgspec import Meta

from recbench import columns as c
from recbench.errors import InputError

__all__ = ["FEATURES", "POLARS_TYPES", "EventMessage", "FieldType", "message_type"]

FieldType = Literal["int", "float", "string", "bool"]

Int64: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
FromZero: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
PYTHON_TYPES: dict[FieldType, Any] = {"int": Int64, "float": float, "string": str, "bool": bool}
POLARS_TYPES: dict[FieldType, pl.DataType] = {
    "int": pl.Int64(),
    "float": pl.Float64(),
    "string": pl.String(),
    "bool": pl.Boolean(),
}
FEATURES = "features"


class EventMessage(msgspec.Struct, forbid_unknown_fields=True, gc=False, kw_only=True):
    """What one message may hold."""

    user_id: Int64
    item_id: Int64
    ts: str | Int64
    event_id: str | Int64 | None = None
    arrival_ts: str | Int64 | None = None
    clicked: bool = True
    watch_ms: FromZero | None = None
    category: str | None = None
    position: Annotated[int, Meta(ge=0, le=2**15 - 1)] | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None
    request_id: str | Int64 | None = None
    features: dict[str, Any] | None = None


def message_type(fields: Mapping[str, FieldType]) -> type[Any]:
    """``EventMessage`` with further optional fields.

    Raises:
        InputError: a field has the name of a canonical or a stream's column.
    """
    if not fields:
        return EventMessage
    taken = {FEATURES, *c.EVENT_DTYPES, *c.STREAM_DTYPES, c.DAY, c.SOURCE_ROW}
    clashing = sorted(taken.intersection(fields))
    if clashing:
        raise InputError(f"A field of one's own needs a name of its own; taken: {clashing}")
    optional = [(name, PYTHON_TYPES[type_] | None, None) for name, type_ in fields.items()]
    return msgspec.defstruct(
        "EventMessage",
        optional,
        bases=(EventMessage,),
        forbid_unknown_fields=True,
        gc=False,
        kw_only=True,
    )
