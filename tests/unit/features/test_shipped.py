"""The shipped features: their names are kept, and their values are those of a plain loop."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from recbench import columns as c
from recbench.features.batch import window_features
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES, SHIPPED_FEATURES

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_shipped_features_equal_a_naive_loop(naive_features):
    rng = np.random.default_rng(0)
    n_events = 300
    seconds = np.sort(rng.integers(0, 3 * 86_400, n_events)) - rng.integers(0, 7_200, n_events)
    ts = pl.Series(seconds * 1_000_000).cast(pl.Duration("us"))
    categories = rng.choice(["A", "B", "A|C", "D", None], n_events)
    events = pl.DataFrame(
        {
            c.USER_ID: rng.integers(0, 5, n_events),
            c.ITEM_ID: rng.integers(0, 20, n_events),
            c.TS: ts,
            c.CLICKED: rng.random(n_events) < 0.5,
            c.WATCH_MS: rng.integers(0, 60_000, n_events),
            c.CATEGORY: pl.Series(categories.tolist(), dtype=pl.String),
        }
    ).with_columns((pl.lit(START, c.INSTANT) + pl.col(c.TS)).alias(c.TS))
    # rows come up to two hours out of order, of which twenty minutes are allowed
    watermark = pl.col(c.TS).cum_max().shift(1) - timedelta(minutes=20)
    events = events.with_columns(watermark.alias(c.WATERMARK))
    assert events.filter(pl.col(c.TS) < pl.col(c.WATERMARK)).height > 20
    names = [feature.name for feature in SHIPPED_FEATURES]
    computed = window_features(events.lazy(), SHIPPED_FEATURES).collect().select(names)
    naive = naive_features(events, SHIPPED_FEATURES)
    floats = ["item_popularity_1d", "category_popularity_1d"]
    assert_frame_equal(computed.drop(floats), naive.drop(floats), check_exact=True)
    assert_frame_equal(computed.select(floats), naive.select(floats), rel_tol=1e-9)


def test_names_are_what_releases_and_stores_know_them_by():
    assert [feature.name for feature in SHIPPED_FEATURES] == [
        "user_watch_ms_5m",
        "user_category_jumps_30m",
        "user_clicks_1h",
        "user_clicks_24h",
        "user_ctr_1h",
        "user_ctr_24h",
        "item_popularity_1d",
        "category_popularity_1d",
        "user_since_last_click_us",
        "user_last_50_items",
        "user_last_50_watch_ms",
    ]
    assert set(DEFAULT_WINDOW_FEATURES) < set(SHIPPED_FEATURES)
