"""Point-in-time features equal a loop over all earlier events, whatever the log."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import columns as c
from recbench.features.batch import features_at, window_features
from recbench.features.definitions import DecayedPopularity, WindowFeature
from recbench.features.popularity import decayed_popularity
from recbench.tables.queries import InteractionLog

START = datetime(1969, 12, 31, 23, 59, tzinfo=UTC)  # times on both sides of the epoch
WINDOWS = tuple(
    WindowFeature(
        name=f"{entity}_{aggregation}",
        entity=entity,
        aggregation=aggregation,
        value=None if aggregation == "count" else c.WATCH_MS,
        window=timedelta(seconds=seconds, microseconds=1),
    )
    for entity, aggregation, seconds in (
        (c.USER_ID, "sum", 5),
        (c.USER_ID, "count", 30),
        (c.ITEM_ID, "sum", 1),
        (c.ITEM_ID, "mean", 60),
    )
)
POPULARITY = DecayedPopularity(name="hot", half_life=timedelta(milliseconds=300))

# few entities and whole seconds, a few of them a microsecond off: many ties and window edges
rows = st.tuples(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 120).flatmap(lambda s: st.sampled_from([10**6 * s, 10**6 * s + 1])),
    st.sampled_from([True, False, None]),
    st.none() | st.integers(-(2**40), 2**40),
)
logs = st.lists(rows, max_size=40).map(
    lambda held: pl.DataFrame(
        held,
        schema={name: c.EVENT_DTYPES[name] for name in (c.USER_ID, c.ITEM_ID)}
        | {"us": pl.Int64, c.CLICKED: pl.Boolean, c.WATCH_MS: pl.Int64},
        orient="row",
    ).select(
        c.USER_ID,
        c.ITEM_ID,
        (pl.lit(START, c.INSTANT) + pl.duration(microseconds="us")).alias(c.TS),
        c.CLICKED,
        c.WATCH_MS,
    )
)


def naive_window(events, feature, point):
    total, n_held, clicks = 0, 0, 0
    for event in events:
        inside = point[c.TS] - feature.window <= event[c.TS] < point[c.TS]
        if inside and event[feature.entity] == point[feature.entity]:
            clicks += event[c.CLICKED] is True
            n_held += event[c.WATCH_MS] is not None
            total += event[c.WATCH_MS] or 0
    if feature.aggregation == "mean":
        return total / n_held if n_held else None
    return clicks if feature.aggregation == "count" else total


def naive_popularity(events, half_life, point):
    return sum(
        2.0 ** -((point[c.TS] - event[c.TS]) / half_life)
        for event in events
        if event[c.CLICKED] and event[c.ITEM_ID] == point[c.ITEM_ID] and event[c.TS] < point[c.TS]
    )


def expected(events, points, feature):
    held = events.to_dicts()
    return [naive_window(held, feature, point) for point in points.to_dicts()]


@given(logs)
@settings(max_examples=60, deadline=None)
def test_features_of_events_equal_a_naive_loop(events):
    computed = window_features(events.lazy(), WINDOWS).collect()
    for feature in WINDOWS:
        assert computed[feature.name].to_list() == expected(events, events, feature)


@given(logs, logs)
@settings(max_examples=60, deadline=None)
def test_features_at_points_equal_a_naive_loop(events, points):
    computed = features_at(events.lazy(), points.lazy(), WINDOWS).collect()
    assert computed.select(points.columns).equals(points)
    for feature in WINDOWS:
        assert computed[feature.name].to_list() == expected(events, points, feature)


@given(logs, logs)
@settings(max_examples=60, deadline=None)
def test_popularity_at_points_equals_a_naive_loop(events, points):
    computed = features_at(events.lazy(), points.lazy(), [POPULARITY]).collect()
    held = events.to_dicts()
    naive = [naive_popularity(held, POPULARITY.half_life, p) for p in points.to_dicts()]
    assert computed["hot"].to_list() == pytest.approx(naive, rel=1e-9, abs=1e-70)


@given(logs, st.integers(0, 120))
@settings(max_examples=60, deadline=None)
def test_popularity_of_all_items_equals_a_naive_loop(events, second):
    log = InteractionLog.from_events(events)
    at = START + timedelta(seconds=second)
    half_life = timedelta(seconds=7)
    microseconds = pl.Series([at]).dt.epoch("us")[0]
    computed = decayed_popularity(log, at=microseconds, half_life_s=7.0)
    held = events.to_dicts()
    points = [{c.ITEM_ID: item, c.TS: at} for item in log.items.ids]
    naive = [naive_popularity(held, half_life, point) for point in points]
    np.testing.assert_allclose(computed, naive, rtol=1e-9)


@given(logs, logs)
@settings(max_examples=60, deadline=None)
def test_later_events_never_change_a_feature(events, later):
    cut = START + timedelta(seconds=60)
    past = events.filter(pl.col(c.TS) <= cut)
    future = later.filter(pl.col(c.TS) >= cut)
    features = [*WINDOWS, POPULARITY]
    alone = window_features(past.lazy(), features).collect()
    together = window_features(pl.concat([past, future]).lazy(), features).collect()
    assert alone.select(f.name for f in WINDOWS).equals(
        together.head(len(past)).select(f.name for f in WINDOWS)
    )
    assert alone["hot"].to_list() == pytest.approx(
        together["hot"].head(len(past)).to_list(), rel=1e-9, abs=1e-70
    )
