"""Features give the same values on the GPU as on the CPU."""

from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recbench import columns as c
from recbench.benchmarks.generated import generated_events
from recbench.features.batch import collect, features_at, window_features
from recbench.features.definitions import DecayedPopularity, LastValues, WindowFeature
from recbench.features.derived import with_derived
from recbench.features.shipped import SHIPPED_FEATURES

pytestmark = pytest.mark.gpu

FEATURES = [
    *(feature for feature in SHIPPED_FEATURES if not isinstance(feature, LastValues)),
    *(
        WindowFeature(
            name=f"item_{aggregation}",
            entity="item_id",
            aggregation=aggregation,
            value=c.WATCH_MS,
            window=timedelta(hours=6),
        )
        for aggregation in ("sum", "mean", "min", "max")
    ),
    WindowFeature(
        name="category_events",
        entity="category",
        aggregation="count",
        value=None,
        window=timedelta(minutes=7),
    ),
]
# the GPU adds up in another order
POPULARITY = [feature.name for feature in FEATURES if isinstance(feature, DecayedPopularity)]


@pytest.fixture(scope="module")
def events():
    """Out of order, with ties, nulls and late rows; jumps are derived on the CPU."""
    shuffled = generated_events(20_000, seed=1).sample(fraction=1.0, shuffle=True, seed=2)
    number = pl.int_range(pl.len())
    events = shuffled.with_columns(
        pl.col(c.TS).dt.truncate("1m"),
        pl.when(number % 5 > 0).then(c.WATCH_MS),
        pl.when(number % 7 > 0).then(c.CATEGORY),
        pl.when(number % 9 == 0).then(pl.col(c.TS) + timedelta(hours=1)).alias(c.WATERMARK),
    )
    return collect(with_derived(events.lazy(), FEATURES))


def require_equal(on_gpu, on_cpu):
    assert_frame_equal(on_gpu.drop(POPULARITY), on_cpu.drop(POPULARITY), check_exact=True)
    assert_frame_equal(on_gpu.select(POPULARITY), on_cpu.select(POPULARITY), rel_tol=1e-9)


def test_the_shipped_features_and_others_are_equal(events, gpu_engine):
    on_gpu = collect(window_features(events.lazy(), FEATURES, engine="gpu"), engine=gpu_engine)
    require_equal(on_gpu, collect(window_features(events.lazy(), FEATURES)))


def test_features_at_points_are_equal(events, gpu_engine):
    past, points = events.head(15_000).lazy(), events.tail(5_000).lazy()
    on_gpu = collect(features_at(past, points, FEATURES, engine="gpu"), engine=gpu_engine)
    require_equal(on_gpu, collect(features_at(past, points, FEATURES)))


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_each_feature_alone_runs_on_the_gpu(events, gpu_engine, feature):
    on_gpu = collect(window_features(events.lazy(), [feature], engine="gpu"), engine=gpu_engine)
    on_cpu = collect(window_features(events.lazy(), [feature]))
    assert_frame_equal(on_gpu, on_cpu, rel_tol=1e-9)


def test_what_runs_on_the_cpu_only_raises_on_the_gpu(events, gpu_engine):
    # the step that makes arrays is no expression: the engine refuses it, and does not fall back
    with pytest.raises(pl.exceptions.ComputeError):
        collect(window_features(events.lazy(), FEATURES), engine=gpu_engine)
