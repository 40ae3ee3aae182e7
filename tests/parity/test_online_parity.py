"""The online state beside the batch engine, over a log with late and disordered rows."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.benchmarks.generated import generated_events
from recbench.features.batch import features_at
from recbench.features.definitions import DecayedPopularity, LastValues, WindowFeature
from recbench.features.online import OnlineState
from recbench.features.shipped import SHIPPED_FEATURES
from recbench.tables.watermarks import NEVER, Watermarks

N_EVENTS, BATCH, N_PARTITIONS = 30_000, 1_700, 3
HOUR = timedelta(hours=1)
FEATURES = (
    *SHIPPED_FEATURES,
    WindowFeature(
        name="item_watchers_3h",
        entity="item_id",
        aggregation="n_unique",
        value=c.USER_ID,
        window=3 * HOUR,
    ),
    WindowFeature(
        name="category_watched_most_1h",
        entity="category",
        aggregation="max",
        value=c.WATCH_MS,
        window=HOUR,
    ),
    WindowFeature(
        name="item_jumps_6h",
        entity="item_id",
        aggregation="mean",
        value="category_jump",
        window=6 * HOUR,
        of="clicks",
    ),
    LastValues(name="item_last_users", entity="item_id", value=c.USER_ID, k=3),
)


@pytest.fixture(scope="module")
def log():
    """Five days of rows that arrive up to four hours late; half an hour and more is too late."""
    rng = np.random.default_rng(3)
    events = generated_events(N_EVENTS, seed=3)
    sets = np.array(["A", "B", "C", "A|B", "B|C|D", "E"])
    lag_s = np.where(rng.random(N_EVENTS) < 0.05, rng.integers(0, 4 * 3600, N_EVENTS), 0)
    arrival = events[c.TS].dt.epoch("us").to_numpy() + lag_s * 1_000_000
    events = events.with_columns(
        pl.Series(c.CATEGORY, sets[events[c.ITEM_ID].to_numpy() % len(sets)]),
        pl.Series("partition", events[c.USER_ID].to_numpy() % N_PARTITIONS),
    )[np.argsort(arrival, kind="stable")]
    return events.with_columns(
        pl.when(pl.Series(rng.random(N_EVENTS) > 0.2)).then(c.WATCH_MS).alias(c.WATCH_MS),
        pl.when(pl.Series(rng.random(N_EVENTS) > 0.1)).then(c.CATEGORY).alias(c.CATEGORY),
    )


def test_online_equals_batch_at_every_checkpoint(log):
    state, watermarks = OnlineState(FEATURES), Watermarks(HOUR / 2)
    arrived = []
    for begin in range(0, N_EVENTS, BATCH):
        batch = log[begin : begin + BATCH]
        before = watermarks.advance(
            batch["partition"].to_numpy(), batch[c.TS].dt.epoch("us").to_numpy()
        )
        marks = pl.Series(c.WATERMARK, before).replace(NEVER, None).cast(c.INSTANT)
        arrived.append(batch.with_columns(marks))
        state.update(arrived[-1], watermark_us=watermarks.current)
        if len(arrived) % 6 == 0:
            require_equal(state, pl.concat(arrived), seed=begin)
    assert 0 < state.n_late < N_EVENTS / 20
    assert state.n_rows == N_EVENTS - state.n_late
    # what is kept of clicks on items is far less than all of them: the rest is folded or forgotten
    clicks = state.tables.by_entity[c.CATEGORY].streams["clicks"].slabs
    assert len(clicks.positions(np.arange(len(state.tables.by_entity[c.CATEGORY].index)))) < 1_000


def require_equal(state, events, *, seed):
    rng = np.random.default_rng(seed)
    for entity in (c.USER_ID, c.ITEM_ID, c.CATEGORY):
        own = [feature for feature in FEATURES if feature.entity == entity]
        at_us = state.watermark_us + rng.integers(0, 7200 * 1_000_000, 400)
        ids = events[entity].sample(400, seed=seed, with_replacement=True)
        found = state.lookup_many(entity, ids, at_us=at_us)
        points = pl.DataFrame({entity: ids, c.TS: pl.Series(at_us).cast(c.INSTANT)})
        expected = features_at(events.lazy(), points.lazy(), own).collect()
        for feature in own:
            ours, theirs = found[feature.name], expected[feature.name]
            assert ours.dtype == theirs.dtype, feature
            if isinstance(feature, DecayedPopularity):
                np.testing.assert_allclose(ours, theirs, rtol=1e-9)
            else:
                assert ours.to_list() == theirs.to_list(), feature
