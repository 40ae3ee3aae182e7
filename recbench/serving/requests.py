"""Request bodies as checked values."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from recbench.errors import InputError
from recbench.serving.options import Limits
from recbench.tables.queries import LONGEST_WATCH

__all__ = ["AskedList", "AskedScores", "GivenHistory", "parse_recommend", "parse_score"]

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
LATEST = np.iinfo(np.int64).max  # stands for "just now" until the request's instant is known

Int64: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
FromZero: TypeAlias = Annotated[float, Meta(ge=0)]
FromOne: TypeAlias = Annotated[int, Meta(ge=1)]
Repeats = Literal["allow", "mask"]
Ints = npt.NDArray[np.int64]
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    item_id: Int64
    ts: datetime | None = None
    watch_ratio: FromZero | None = None


class _Filters(msgspec.Struct, forbid_unknown_fields=True):
    exclude_items: list[Int64] = []
    categories: list[str] | None = None
    repeats: Repeats | None = None


class _Context(msgspec.Struct):
    ts: datetime | None = None


class _Recommend(msgspec.Struct, forbid_unknown_fields=True):
    user_id: Int64 | None = None
    history: list[_Event] | None = None
    k: FromOne | msgspec.UnsetType = msgspec.UNSET
    filters: _Filters | None = None
    context: _Context | None = None


class _Score(msgspec.Struct, forbid_unknown_fields=True):
    item_ids: list[Int64]
    user_id: Int64 | None = None
    history: list[_Event] | None = None
    context: _Context | None = None


@dataclass(frozen=True, slots=True, eq=False)
class GivenHistory:
    """What a client says a user did, oldest first; (N,) each."""

    item_ids: Ints
    ts: Ints  # microseconds since the epoch; LATEST where the client gave none
    watch_ratio: npt.NDArray[np.float32]  # -1 where unknown


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AskedList:
    """A request for a list."""

    user_id: int | None = None
    history: GivenHistory | None = None
    k: int = 20
    exclude_items: Ints | None = None
    categories: tuple[str, ...] | None = None  # only items of one of these
    repeats: Repeats | None = None  # None: by the data's protocol
    at_us: int | None = None  # the instant of the request, if the client says it
    drawn_k: int | None = None  # the length of the list that chance makes of the ``k`` best


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AskedScores:
    """A request for the scores of items."""

    item_ids: Ints
    user_id: int | None = None
    history: GivenHistory | None = None
    at_us: int | None = None


_RECOMMEND = msgspec.json.Decoder(_Recommend)
_SCORE = msgspec.json.Decoder(_Score)


def parse_recommend(body: bytes, limits: Limits) -> AskedList:
    """The body of ``POST /recommend``.

    Raises:
        InputError: no JSON, not of the documented form, or beyond a limit.
    """
    asked: _Recommend = _decoded(_RECOMMEND, body)
    k = limits.default_k if asked.k is msgspec.UNSET else asked.k
    if k > limits.k:
        raise InputError(f"`k` may be at most {limits.k} here, got {k}")
    filters = asked.filters or _Filters()
    return AskedList(
        user_id=asked.user_id,
        history=_history(asked.history, limits),
        k=k,
        exclude_items=_ids("exclude_items", filters.exclude_items, limits),
        categories=None if filters.categories is None else tuple(filters.categories),
        repeats=filters.repeats,
        at_us=_instant(asked.context),
    )


def parse_score(body: bytes, limits: Limits) -> AskedScores:
    """The body of ``POST /score``.

    Raises:
        InputError: no JSON, not of the documented form, or beyond a limit.
    """
    asked: _Score = _decoded(_SCORE, body)
    item_ids = _ids("item_ids", asked.item_ids, limits)
    return AskedScores(
        item_ids=np.empty(0, dtype=np.int64) if item_ids is None else item_ids,
        user_id=asked.user_id,
        history=_history(asked.history, limits),
        at_us=_instant(asked.context),
    )


def _decoded(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except RecursionError as error:
        raise InputError("The body is not JSON: nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InputError("The body is not JSON: the text is not UTF-8") from error
    except msgspec.ValidationError as error:
        raise InputError(f"The body cannot be used: {error}") from error
    except msgspec.DecodeError as error:
        raise InputError(f"The body is not JSON: {error}") from error


def _ids(name: str, ids: list[int], limits: Limits) -> Ints | None:
    if len(ids) > limits.history:
        raise InputError(f"`{name}` may have {limits.history} ids here, got {len(ids)}")
    return np.array(ids, dtype=np.int64) if ids else None


def _history(events: list[_Event] | None, limits: Limits) -> GivenHistory | None:
    """In order of time; what has no instant comes last, in the order given."""
    if events is None:
        return None
    n = len(events)
    if n > limits.history:
        raise InputError(
            f"`history` may have {limits.history} events here, got {n}; only the latest are used"
        )
    ids = np.fromiter((event.item_id for event in events), np.int64, n)
    ts = np.fromiter((_microseconds(event.ts) for event in events), np.int64, n)
    watched = np.fromiter(
        (-1.0 if event.watch_ratio is None else event.watch_ratio for event in events),
        np.float64,
        n,
    )
    order = np.argsort(ts, kind="stable")
    ratio = np.minimum(watched, LONGEST_WATCH).astype(np.float32)
    return GivenHistory(ids[order], ts[order], ratio[order])


def _instant(context: _Context | None) -> int | None:
    return None if context is None or context.ts is None else _microseconds(context.ts)


def _microseconds(ts: datetime | None) -> int:
    if ts is None:
        return LATEST
    return ((ts if ts.tzinfo else ts.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND
