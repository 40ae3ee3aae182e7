"""Features as plain data: declared once, computed by every engine.

A feature of an entity (a user, an item, a category) at time t is made of the entity's events
strictly before t: neither the event at t itself nor any other of the same instant counts. An event
without the entity, such as one of no category, adds to nothing and has null for a feature.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any, Literal, TypeAlias, get_args

from recbench.errors import InputError

__all__ = [
    "DecayedPopularity",
    "Feature",
    "LastValues",
    "SinceLast",
    "WindowFeature",
    "from_json",
    "to_json",
]

Entity = Literal["user_id", "item_id", "category"]
Aggregation = Literal["count", "sum", "mean", "min", "max", "n_unique"]
Of = Literal["events", "clicks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFeature:
    """An aggregate over the events of one entity in [t - window, t).

    ``count`` counts events, the other aggregations run over the values that are not null.
    ``n_unique`` counts distinct ones. An empty window gives 0 for count, sum and n_unique, null
    for mean, min and max.
    """

    name: str
    entity: Entity
    aggregation: Aggregation
    value: str | None  # a column, or one of `derived.DERIVED`; None for count
    window: timedelta
    of: Of = "events"  # all rows, or the clicked ones
    unit: str = ""  # of the result, for people

    def __post_init__(self) -> None:
        """Refuse what no engine could compute."""
        _one_of("entity", self.entity, get_args(Entity))
        _one_of("aggregation", self.aggregation, get_args(Aggregation))
        _one_of("of", self.of, get_args(Of))
        if (self.value is None) != (self.aggregation == "count"):
            raise InputError(
                f"{self.name}: `count` takes no `value`, every other aggregation does; got "
                f"{self.aggregation!r} of {self.value!r}"
            )
        if self.window <= timedelta(0):
            raise InputError(f"{self.name}: `window` must be positive, got {self.window}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastValues:
    """The values of an entity's last ``k`` events before t, the latest last; fewer if there are.

    Events of one instant stand in the order in which the log has them; nulls stay in the list.
    """

    name: str
    entity: Entity
    value: str
    k: int
    of: Of = "clicks"
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse an empty list."""
        _one_of("entity", self.entity, get_args(Entity))
        _one_of("of", self.of, get_args(Of))
        if self.k < 1:
            raise InputError(f"{self.name}: `k` must be at least 1, got {self.k}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinceLast:
    """Microseconds from the entity's last event before t up to t; null if there was none."""

    name: str
    entity: Entity
    of: Of = "clicks"
    unit: str = "us"

    def __post_init__(self) -> None:
        """Refuse an entity there is not."""
        _one_of("entity", self.entity, get_args(Entity))
        _one_of("of", self.of, get_args(Of))


@dataclass(frozen=True, slots=True, kw_only=True)
class DecayedPopularity:
    """An entity's clicks before t, each halved for every half-life that has passed."""

    name: str
    half_life: timedelta
    entity: Entity = "item_id"
    unit: str = "clicks"

    def __post_init__(self) -> None:
        """Refuse what would never decay, or grow."""
        _one_of("entity", self.entity, get_args(Entity))
        if self.half_life <= timedelta(0):
            raise InputError(f"{self.name}: `half_life` must be positive, got {self.half_life}")


Feature: TypeAlias = WindowFeature | LastValues | SinceLast | DecayedPopularity

KINDS: dict[str, type[Feature]] = {
    "window": WindowFeature,
    "last_values": LastValues,
    "since_last": SinceLast,
    "decayed_popularity": DecayedPopularity,
}
SPANS = ("window", "half_life")  # fields that are seconds in JSON


def to_json(features: Iterable[Feature]) -> list[dict[str, Any]]:
    """The declarations as JSON values; windows and half-lives in seconds."""
    return [_written(feature) for feature in features]


def from_json(declared: Iterable[dict[str, Any]]) -> tuple[Feature, ...]:
    """What ``to_json`` gave.

    Raises:
        InputError: a key is missing or unknown, a value is none a feature can have, or two
            features have one name.
    """
    features = tuple(_declared(one) for one in declared)
    _refuse_twice(features)
    return features


def _written(feature: Feature) -> dict[str, Any]:
    kind = next(name for name, type_ in KINDS.items() if isinstance(feature, type_))
    values = asdict(feature)
    spans = {name: values[name].total_seconds() for name in SPANS if name in values}
    return {"kind": kind} | values | spans


def _declared(one: dict[str, Any]) -> Feature:
    try:
        kind = KINDS[one["kind"]]
        names = {field.name for field in fields(kind)}
        spans = {name: timedelta(seconds=one[name]) for name in SPANS if name in names}
        return kind(**({key: value for key, value in one.items() if key != "kind"} | spans))
    except (KeyError, TypeError) as error:
        raise InputError(f"Not the declaration of a feature: {one} ({error!r})") from error


def _refuse_twice(features: Sequence[Feature]) -> None:
    names = [feature.name for feature in features]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"A feature needs a name of its own; declared twice: {twice}")


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"`{what}` must be one of {choices}, got {value!r}")
