"""Features as plain data: declared once, computed by every engine."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from recbench import columns as c
from recbench.errors import InputError

__all__ = [
    "DEFAULT_WINDOW_FEATURES",
    "DecayedPopularity",
    "WindowFeature",
    "from_json",
    "to_json",
]

Entity = Literal["user_id", "item_id"]
Aggregation = Literal["count", "sum", "mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFeature:
    """An aggregate over the events of one user or item in [t - window, t).

    ``count`` counts clicks. ``sum`` and ``mean`` run over the values of all events, a null value
    left out. An empty window gives 0 for count and sum, null for mean.
    """

    name: str
    entity: Entity
    aggregation: Aggregation
    value: str | None  # the column; None for count
    window: timedelta

    def __post_init__(self) -> None:
        """Refuse what no engine could compute."""
        if self.entity not in get_args(Entity):
            raise InputError(f"`entity` must be one of {get_args(Entity)}, got {self.entity!r}")
        if self.aggregation not in get_args(Aggregation):
            raise InputError(
                f"`aggregation` must be one of {get_args(Aggregation)}, got {self.aggregation!r}"
            )
        if (self.value is None) != (self.aggregation == "count"):
            raise InputError(
                f"{self.name}: `value` belongs to sum and mean, not to count; got "
                f"{self.aggregation!r} of {self.value!r}"
            )
        if self.window <= timedelta(0):
            raise InputError(f"{self.name}: `window` must be positive, got {self.window}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecayedPopularity:
    """An item's clicks strictly before t, each halved for every half-life that has passed."""

    name: str
    half_life: timedelta

    def __post_init__(self) -> None:
        """Refuse what would never decay, or grow."""
        if self.half_life <= timedelta(0):
            raise InputError(f"{self.name}: `half_life` must be positive, got {self.half_life}")

    @property
    def entity(self) -> Entity:
        """Popularity belongs to items."""
        return "item_id"


DEFAULT_WINDOW_FEATURES = (
    WindowFeature(
        name="user_clicks_1h",
        entity="user_id",
        aggregation="count",
        value=None,
        window=timedelta(hours=1),
    ),
    WindowFeature(
        name="user_watch_ms_5m",
        entity="user_id",
        aggregation="sum",
        value=c.WATCH_MS,
        window=timedelta(minutes=5),
    ),
)


def to_json(features: Iterable[WindowFeature]) -> list[dict[str, Any]]:
    """The declarations as JSON values; windows in seconds."""
    return [asdict(f) | {"window": f.window.total_seconds()} for f in features]


def from_json(declared: Iterable[dict[str, Any]]) -> tuple[WindowFeature, ...]:
    """What ``to_json`` gave.

    Raises:
        InputError: a key is missing or unknown, or a value is none a feature can have.
    """
    return tuple(_declared(one) for one in declared)


def _declared(one: dict[str, Any]) -> WindowFeature:
    try:
        return WindowFeature(**(one | {"window": timedelta(seconds=one["window"])}))
    except (KeyError, TypeError) as error:
        raise InputError(f"Not the declaration of a window feature: {one} ({error})") from error
