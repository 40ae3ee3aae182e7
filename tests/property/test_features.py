"""Point-in-time features equal a loop over all earlier events, whatever the log."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recbench import columns as c
from recbench.features.batch import features_at, window_features
from recbench.features.definitions import (
    DecayedPopularity,
    LastValues,
    SinceLast,
    WindowFeature,
)
from recbench.features.derived import with_derived
from recbench.features.popularity import decayed_popularity
from recbench.tables.queries import InteractionLog

START = datetime(1969, 12, 31, 23, 59, tzinfo=UTC)  # times on both sides of the epoch
ENTITIES = (c.USER_ID, c.ITEM_ID, c.CATEGORY)


def window(aggregation, value=None, *, entity=c.USER_ID, seconds=30, of="events"):
    return WindowFeature(
        name=f"{entity}_{aggregation}_{value}_{seconds}s_of_{of}",
        entity=entity,
        aggregation=aggregation,
        value=value,
        window=timedelta(seconds=seconds, microseconds=1),
        of=of,
    )


WINDOWS = (
    *(window("count", entity=entity, of=of) for entity in ENTITIES for of in ("events", "clicks")),
    *(window(a, c.WATCH_MS, seconds=60) for a in ("sum", "mean", "min", "max", "n_unique")),
    *(window(a, c.WATCH_MS, entity=c.CATEGORY, of="clicks") for a in ("sum", "max", "n_unique")),
    window("mean", c.CLICKED, seconds=5),
    window("sum", c.CLICKED, of="clicks"),
    window("n_unique", c.CATEGORY, entity=c.ITEM_ID),
    *(window("sum", "category_jump", entity=entity, seconds=100) for entity in ENTITIES),
    window("mean", "category_jump", of="clicks"),
    window("sum", c.WATCH_MS, entity=c.ITEM_ID, seconds=10**10),
)
OTHERS = (
    LastValues(name="items", entity=c.USER_ID, value=c.ITEM_ID, k=3),
    LastValues(name="categories", entity=c.USER_ID, value=c.CATEGORY, k=2, of="events"),
    LastValues(name="watched", entity=c.CATEGORY, value=c.WATCH_MS, k=1),
    SinceLast(name="since_click", entity=c.USER_ID),
    SinceLast(name="since_event", entity=c.CATEGORY, of="events"),
)
EXACT = (*WINDOWS, *OTHERS)
POPULARITY = (
    DecayedPopularity(name="hot", half_life=timedelta(milliseconds=300)),
    DecayedPopularity(name="hot_category", half_life=timedelta(hours=1), entity=c.CATEGORY),
)
FEATURES = (*EXACT, *POPULARITY)

# few entities and whole seconds, a few of them a microsecond off: many ties and window edges
instants = st.integers(0, 120).flatmap(lambda s: st.sampled_from([10**6 * s, 10**6 * s + 1]))
rows = st.tuples(
    st.none() | st.integers(1, 3),
    st.none() | st.integers(1, 3),
    instants,
    st.none() | instants,
    st.sampled_from([True, False, None]),
    st.none() | st.integers(-(2**40), 2**40),
    st.sampled_from([None, "A", "B", "A|B", "B|C", "D"]),
)


def at(name):
    return (pl.lit(START, c.INSTANT) + pl.duration(microseconds=name)).alias(name)


logs = st.lists(rows, max_size=40).map(
    lambda held: pl.DataFrame(
        held,
        schema={
            c.USER_ID: pl.Int64,
            c.ITEM_ID: pl.Int64,
            c.TS: pl.Int64,
            c.WATERMARK: pl.Int64,
            c.CLICKED: pl.Boolean,
            c.WATCH_MS: pl.Int64,
            c.CATEGORY: pl.String,
        },
        orient="row",
    ).with_columns(at(c.TS), at(c.WATERMARK))
)


def require_equal(computed, naive):
    """Exactly, but for popularity; clicks hundreds of half-lives back may count as nothing."""
    popularity = [feature.name for feature in POPULARITY]
    computed = computed.select(naive.columns)
    assert_frame_equal(computed.drop(popularity), naive.drop(popularity), check_exact=True)
    assert_frame_equal(
        computed.select(popularity), naive.select(popularity), rel_tol=1e-9, abs_tol=1e-70
    )


@given(logs)
@settings(max_examples=60, deadline=None)
def test_features_of_events_equal_a_naive_loop(naive_features, events):
    computed = window_features(events.lazy(), FEATURES).collect()
    assert computed.select(events.columns).equals(events)
    require_equal(computed, naive_features(events, FEATURES))


@given(logs, logs)
@settings(max_examples=60, deadline=None)
def test_features_at_points_equal_a_naive_loop(naive_features, events, points):
    computed = features_at(events.lazy(), points.lazy(), FEATURES).collect()
    assert computed.select(points.columns).equals(points)
    require_equal(computed, naive_features(events, FEATURES, points))


@given(logs)
@settings(max_examples=30, deadline=None)
def test_the_gpus_expressions_equal_a_naive_loop(naive_features, events):
    # computed on the CPU; a list, a count of distinct values and a jump have no such form
    features = [f for f in FEATURES if not isinstance(f, LastValues)]
    features = [f for f in features if getattr(f, "aggregation", None) != "n_unique"]
    derived = with_derived(events.lazy(), features)
    computed = window_features(derived, features, engine="gpu").collect()
    require_equal(computed, naive_features(events, features))


@given(logs, st.integers(0, 120))
@settings(max_examples=60, deadline=None)
def test_popularity_of_all_items_equals_a_naive_loop(naive_features, events, second):
    kept = events.drop(c.WATERMARK).drop_nulls([c.USER_ID, c.ITEM_ID])
    log = InteractionLog.from_events(kept)
    at = START + timedelta(seconds=second)
    popularity = DecayedPopularity(name="hot", half_life=timedelta(seconds=7))
    microseconds = pl.Series([at]).dt.epoch("us")[0]
    computed = decayed_popularity(log, at=microseconds, half_life_s=7.0)
    instant = pl.lit(at, c.INSTANT).alias(c.TS)
    points = pl.DataFrame({c.ITEM_ID: log.items.ids}).with_columns(instant)
    naive = naive_features(kept, [popularity], points)
    np.testing.assert_allclose(computed, naive["hot"].to_numpy(), rtol=1e-9)


@given(logs, logs)
@settings(max_examples=60, deadline=None)
def test_later_events_never_change_a_feature(events, later):
    cut = START + timedelta(seconds=60)
    past = events.filter(pl.col(c.TS) <= cut)
    future = later.filter(pl.col(c.TS) >= cut)
    alone = window_features(past.lazy(), FEATURES).collect()
    together = window_features(pl.concat([past, future]).lazy(), FEATURES).collect()
    assert_frame_equal(alone, together.head(len(past)), check_exact=True)
