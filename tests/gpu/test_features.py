"""Features give the same values on the GPU as on the CPU."""

from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recbench import columns as c
from recbench.benchmarks.features import WINDOWS, generated_events
from recbench.features.batch import collect, features_at, window_features
from recbench.features.definitions import DecayedPopularity, WindowFeature

pytestmark = pytest.mark.gpu

MEAN = WindowFeature(
    name="item_watch_ms",
    entity="item_id",
    aggregation="mean",
    value=c.WATCH_MS,
    window=timedelta(hours=6),
)
POPULARITY = DecayedPopularity(name="hot", half_life=timedelta(hours=1))


@pytest.fixture(scope="module")
def events():
    """Out of order, with ties and nulls."""
    shuffled = generated_events(20_000, seed=1).sample(fraction=1.0, shuffle=True, seed=2)
    return shuffled.with_columns(
        pl.col(c.TS).dt.truncate("1m"),
        pl.when(pl.col(c.WATCH_MS) % 5 > 0).then(c.WATCH_MS),
    )


def test_integer_windows_are_equal_to_the_bit(events, gpu_engine):
    on_gpu = collect(window_features(events.lazy(), WINDOWS, engine="gpu"), engine=gpu_engine)
    on_cpu = collect(window_features(events.lazy(), WINDOWS))
    assert_frame_equal(on_gpu, on_cpu)


def test_features_at_points_are_equal(events, gpu_engine):
    past, points = events.head(15_000).lazy(), events.tail(5_000).lazy()
    features = [*WINDOWS, MEAN]
    on_gpu = collect(features_at(past, points, features, engine="gpu"), engine=gpu_engine)
    on_cpu = collect(features_at(past, points, features))
    assert_frame_equal(on_gpu, on_cpu, rel_tol=1e-12)


def test_popularity_is_equal_up_to_the_order_of_the_sum(events, gpu_engine):
    on_gpu = collect(window_features(events.lazy(), [POPULARITY], engine="gpu"), engine=gpu_engine)
    on_cpu = collect(window_features(events.lazy(), [POPULARITY]))
    assert_frame_equal(on_gpu, on_cpu, rel_tol=1e-9)
