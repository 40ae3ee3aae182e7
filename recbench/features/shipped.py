"""The features that recbench ships, and the two that its models read."""

from datetime import timedelta

from recbench import columns as c
from recbench.features.definitions import (
    DecayedPopularity,
    Feature,
    LastValues,
    SinceLast,
    WindowFeature,
)

__all__ = ["DEFAULT_WINDOW_FEATURES", "SHIPPED_FEATURES"]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def _user_clicks(name: str, window: timedelta) -> WindowFeature:
    return WindowFeature(
        name=name,
        entity="user_id",
        aggregation="count",
        value=None,
        window=window,
        of="clicks",
        unit="clicks",
    )


def _user_ctr(name: str, window: timedelta) -> WindowFeature:
    return WindowFeature(
        name=name,
        entity="user_id",
        aggregation="mean",
        value=c.CLICKED,
        window=window,
        unit="clicks per event",
    )


USER_CLICKS_1H = _user_clicks("user_clicks_1h", HOUR)
USER_WATCH_MS_5M = WindowFeature(
    name="user_watch_ms_5m",
    entity="user_id",
    aggregation="sum",
    value=c.WATCH_MS,
    window=5 * MINUTE,
    unit="ms",
)

DEFAULT_WINDOW_FEATURES = (USER_CLICKS_1H, USER_WATCH_MS_5M)

SHIPPED_FEATURES: tuple[Feature, ...] = (
    USER_WATCH_MS_5M,
    WindowFeature(
        name="user_category_jumps_30m",
        entity="user_id",
        aggregation="sum",
        value="category_jump",
        window=30 * MINUTE,
        of="clicks",
        unit="jumps",
    ),
    USER_CLICKS_1H,
    _user_clicks("user_clicks_24h", DAY),
    _user_ctr("user_ctr_1h", HOUR),
    _user_ctr("user_ctr_24h", DAY),
    DecayedPopularity(name="item_popularity_1d", half_life=DAY),
    DecayedPopularity(name="category_popularity_1d", half_life=DAY, entity="category"),
    SinceLast(name="user_since_last_click_us", entity="user_id"),
    LastValues(name="user_last_50_items", entity="user_id", value=c.ITEM_ID, k=50, unit="item ids"),
    LastValues(name="user_last_50_watch_ms", entity="user_id", value=c.WATCH_MS, k=50, unit="ms"),
)
