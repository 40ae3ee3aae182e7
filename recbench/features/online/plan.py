"""Which events of which entity must be kept, with which values and for how long."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.definitions import (
    DecayedPopularity,
    Entity,
    Feature,
    LastValues,
    Of,
    SinceLast,
    WindowFeature,
)

__all__ = [
    "CATEGORY_JUMP",
    "SEQUENCE",
    "TRACKER",
    "StreamPlan",
    "require_clicked_items",
    "stream_plans",
]

CATEGORY_JUMP = "category_jump"
SEQUENCE = "sequence"  # number of the row in its order of arrival: finds a row again
Key = tuple[Entity, Of]
TRACKER: Key = ("user_id", "clicks")  # where the jumps between categories are found


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """One stream of events an entity: all of them, or the clicks.

    With watermark W it keeps every event from W - ``window_us`` on, the ``last`` ones before W
    whatever their age, and, where jumps are found, the one before W - ``jump_us``.
    """

    entity: Entity
    of: Of
    features: tuple[Feature, ...]
    columns: tuple[str, ...]
    window_us: int
    last: int
    jump_us: int | None = None


def by_entity(plans: Iterable[StreamPlan]) -> dict[Entity, list[StreamPlan]]:
    """The plans of each kind of entity."""
    grouped: dict[Entity, list[StreamPlan]] = {}
    for plan in plans:
        grouped.setdefault(plan.entity, []).append(plan)
    return grouped


def stream_plans(features: Sequence[Feature]) -> dict[Key, StreamPlan]:
    """The streams that ``features`` need; the one that finds jumps, if any, comes first."""
    by_key: dict[Key, list[Feature]] = {}
    jumping = [feature for feature in features if _value(feature) == CATEGORY_JUMP]
    if jumping:
        by_key[TRACKER] = []
    for feature in features:
        by_key.setdefault(_key(feature), []).append(feature)
    return {key: _planned(key, tuple(own), jumping=jumping) for key, own in by_key.items()}


def require_clicked_items(plans: Mapping[Key, StreamPlan]) -> StreamPlan:
    """The plan of users' clicks, which keeps the items of the last ones.

    Raises:
        InputError: there is none.
    """
    plan = plans.get(TRACKER)
    if plan is None or not plan.last or c.ITEM_ID not in plan.columns:
        raise InputError(
            "A user's latest clicks are kept only for a `LastValues` of `item_id`, such as "
            "`user_last_50_items`; the store has no such feature"
        )
    return plan


def microseconds(span: timedelta) -> int:
    """The span in whole microseconds."""
    return span // timedelta(microseconds=1)


def _planned(key: Key, features: tuple[Feature, ...], *, jumping: Sequence[Feature]) -> StreamPlan:
    columns = [value for feature in features if (value := _value(feature)) is not None]
    last = [_last(feature) for feature in features]
    jump_us = None
    if key == TRACKER and jumping:
        jump_us = _longest(jumping)
        columns += [CATEGORY_JUMP, c.CATEGORY]
        last += [_last(feature) + 1 for feature in jumping]  # the first of them follows another
        elsewhere = {_key(feature)[0] for feature in jumping if _key(feature) != TRACKER}
        columns += [SEQUENCE] if elsewhere else []
        columns += [c.ITEM_ID] if c.ITEM_ID in elsewhere else []
    elif CATEGORY_JUMP in columns:
        columns.append(SEQUENCE)
    entity, of = key
    return StreamPlan(
        entity=entity,
        of=of,
        features=features,
        columns=tuple(dict.fromkeys(columns)),
        window_us=_longest(features),
        last=max(last, default=0),
        jump_us=jump_us,
    )


def _longest(features: Iterable[Feature]) -> int:
    windows = (feature.window for feature in features if isinstance(feature, WindowFeature))
    return microseconds(max(windows, default=timedelta(0)))


def _last(feature: Feature) -> int:
    if isinstance(feature, LastValues):
        return feature.k
    return int(isinstance(feature, SinceLast))


def _key(feature: Feature) -> Key:
    of: Of = "clicks" if isinstance(feature, DecayedPopularity) else feature.of
    return feature.entity, of


def _value(feature: Feature) -> str | None:
    return feature.value if isinstance(feature, WindowFeature | LastValues) else None
