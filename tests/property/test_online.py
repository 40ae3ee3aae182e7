"""An online state answers at any instant from its watermark on what a loop over all rows gives."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import columns as c
from recbench.features.definitions import (
    DecayedPopularity,
    LastValues,
    SinceLast,
    WindowFeature,
)
from recbench.features.online import OnlineState
from recbench.tables.watermarks import NEVER, Watermarks

START = datetime(1969, 12, 31, 23, 59, tzinfo=UTC)  # times on both sides of the epoch
SECOND = 10**6
PARTITION = "partition"


def window(name, aggregation, value=None, *, entity="user_id", of="events", seconds=10):
    return WindowFeature(
        name=name,
        entity=entity,
        aggregation=aggregation,
        value=value,
        of=of,
        window=timedelta(seconds=seconds, microseconds=1),
    )


FEATURES = (
    window("user_n_5", "count", seconds=5),
    window("user_n_clicks", "count", of="clicks"),
    window("user_watched", "sum", c.WATCH_MS),
    window("user_ctr", "mean", c.CLICKED, seconds=30),
    window("user_watched_most", "max", c.WATCH_MS, of="clicks", seconds=30),
    window("user_n_items", "n_unique", c.ITEM_ID, of="clicks", seconds=20),
    window("user_jumps", "sum", "category_jump", of="clicks", seconds=20),
    window("user_jumps_of_all", "mean", "category_jump", seconds=3),
    window("item_watched_least", "min", c.WATCH_MS, entity="item_id"),
    window("item_jumped_to", "sum", "category_jump", entity="item_id", of="clicks", seconds=60),
    window("category_share", "mean", "share", entity="category", seconds=60),
    window("category_clicked", "sum", c.CLICKED, entity="category"),
    window("category_jumped_to", "n_unique", "category_jump", entity="category"),
    LastValues(name="user_last_items", entity="user_id", value=c.ITEM_ID, k=2),
    LastValues(name="user_last_watched", entity="user_id", value=c.WATCH_MS, k=3, of="events"),
    LastValues(name="user_last_categories", entity="user_id", value=c.CATEGORY, k=3),
    LastValues(name="item_last_clicked", entity="item_id", value=c.CLICKED, k=2, of="events"),
    SinceLast(name="user_since_click", entity="user_id"),
    SinceLast(name="category_since", entity="category", of="events"),
    DecayedPopularity(name="item_hot", half_life=timedelta(seconds=7)),
    DecayedPopularity(name="item_hotter", half_life=timedelta(milliseconds=300)),
    DecayedPopularity(name="category_hot", entity="category", half_life=timedelta(seconds=7)),
)

CATEGORIES = [None, "A", "B", "A|B", "C", "A|C"]


def log_of(rng, n_rows, *, span_s, drift_s):
    """Few entities and whole seconds, a few of them a microsecond off: ties and window edges."""

    def drawn(values, name):
        picked = [values[i] for i in rng.integers(len(values), size=n_rows)]
        return pl.Series(name, picked, dtype=c.EVENT_DTYPES.get(name))

    seconds = rng.integers(0, span_s + 1, n_rows) + drift_s * np.arange(n_rows)
    at = pl.Series(seconds * SECOND + rng.integers(0, 3, n_rows) // 2).cast(pl.Duration("us"))
    return pl.DataFrame(
        [
            pl.Series(c.EVENT_ID, rng.integers(0, 20 * n_rows, n_rows)),  # some come twice
            pl.Series(PARTITION, rng.integers(0, 3, n_rows)),
            drawn([None, 1, 1, 2, 2, 3], c.USER_ID),
            drawn([None, -5, 1, 2**40], c.ITEM_ID),
            (pl.Series([START] * n_rows, dtype=c.INSTANT) + at).alias(c.TS),
            drawn([True, True, False, None], c.CLICKED),
            drawn([None, -3, 0, 2, 5, 300, 2**40], c.WATCH_MS),
            drawn(CATEGORIES, c.CATEGORY),
            drawn([None, 0.5, -8.0, 0.25], "share"),
        ]
    )


@st.composite
def streams(draw):
    """Batches of rows in order of arrival, and the watermark of the whole stream after each.

    Rows are drawn by a seed: logs large enough to forget something would shrink for ever.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_rows = draw(st.integers(1, 80))
    spans = {"span_s": draw(st.sampled_from([2, 10, 60])), "drift_s": draw(st.integers(0, 2))}
    frame = log_of(rng, n_rows, **spans).unique(c.EVENT_ID, keep="first", maintain_order=True)
    cuts = sorted({0, len(frame), *rng.integers(0, len(frame), draw(st.integers(0, 6))).tolist()})
    watermarks = Watermarks(timedelta(seconds=draw(st.sampled_from([0, 2, 10, 60]))))
    batches, current = [], []
    for begin, end in pairwise(cuts):
        batch = frame[begin:end]
        before = watermarks.advance(batch[PARTITION].to_numpy(), instants(batch))
        marks = pl.Series(c.WATERMARK, before).replace(NEVER, None).cast(c.INSTANT)
        batches.append(batch.with_columns(marks))
        current.append(watermarks.current)
    return batches, current


def instants(frame):
    return frame[c.TS].dt.epoch("us").to_numpy()


def points_of(entity, ids, at_us):
    asked = [(id_, t) for id_ in ids for t in at_us]
    points = pl.DataFrame(
        asked, schema={entity: c.EVENT_DTYPES[entity], "us": pl.Int64}, orient="row"
    )
    return points.with_columns(pl.from_epoch("us", "us").dt.replace_time_zone("UTC").alias(c.TS))


def require_equal(found, expected, features):
    for feature in features:
        ours, naive = found[feature.name], expected[feature.name]
        assert ours.dtype == naive.dtype, feature
        assert ours.is_null().equals(naive.is_null()), feature
        if isinstance(feature, DecayedPopularity):
            ours, naive = ours.drop_nulls().to_list(), naive.drop_nulls().to_list()
            assert ours == pytest.approx(naive, rel=1e-9, abs=1e-70), feature
        else:
            assert ours.to_list() == naive.to_list(), feature


ASKED = {
    c.USER_ID: [1, 2, 3, 4, None],
    c.ITEM_ID: [-5, 1, 2**40, None],
    c.CATEGORY: ["A", "B", "A|B", "never", None],
}


def require_exact(store, arrived, naive_features, features=FEATURES):
    earliest = -(10**9) if store.watermark_us is None else store.watermark_us
    asked = {earliest, earliest + 1, *instants(arrived).tolist(), 200 * SECOND}
    at_us = sorted(t for t in asked if t >= earliest)
    for entity, ids in ASKED.items():
        own = [feature for feature in features if feature.entity == entity]
        points = points_of(entity, ids, at_us)
        expected = naive_features(arrived, own, points)
        found = store.lookup_many(entity, points[entity], at_us=points["us"].to_numpy())
        assert found.columns == [entity, c.TS, *(feature.name for feature in own)]
        require_equal(found, expected, own)
        single = [store.lookup(entity, id_, at_us=t) for id_, t in points[[entity, "us"]].rows()]
        schema = {feature.name: expected[feature.name].dtype for feature in own}
        require_equal(pl.DataFrame(single, schema=schema), expected, own)


@given(streams())
@settings(max_examples=60, deadline=None)
def test_lookups_equal_a_naive_loop_over_what_has_come(naive_features, stream):
    batches, watermarks = stream
    state = OnlineState(FEATURES)
    for number, (batch, watermark) in enumerate(zip(batches, watermarks, strict=True)):
        state.update(batch, watermark_us=watermark)
        require_exact(state, pl.concat(batches[: number + 1]), naive_features)


@given(streams())
@settings(max_examples=30, deadline=None)
def test_a_restored_state_goes_on_as_if_nothing_had_happened(
    naive_features, tmp_path_factory, stream
):
    batches, watermarks = stream
    path = tmp_path_factory.mktemp("state") / "state"
    state = OnlineState(FEATURES)
    for number, (batch, watermark) in enumerate(zip(batches, watermarks, strict=True), start=1):
        state.update(batch, watermark_us=watermark, positions={"0": number})
        state.snapshot(path)
        state = OnlineState.restore(path, FEATURES)
        assert state.positions == {"0": number}
        state.update(batch, positions={"0": number})  # read again after a crash: taken once
    assert state.n_rows + state.n_late == sum(map(len, batches))
    require_exact(state, pl.concat(batches), naive_features)


@given(streams())
@settings(max_examples=30, deadline=None)
def test_sweeping_at_any_time_loses_nothing(naive_features, stream):
    batches, watermarks = stream
    state = OnlineState(FEATURES)
    for batch, watermark in zip(batches, watermarks, strict=True):
        state.update(batch, watermark_us=watermark)
        state.sweep()
    require_exact(state, pl.concat(batches), naive_features)


@given(streams())
@settings(max_examples=30, deadline=None)
def test_features_that_forget_whole_entities_stay_exact(naive_features, stream):
    batches, watermarks = stream
    kept = [f for f in FEATURES if f.name in {"user_n_5", "item_hotter", "category_clicked"}]
    state = OnlineState(kept)
    for batch, watermark in zip(batches, watermarks, strict=True):
        state.update(batch, watermark_us=watermark)
        state.sweep()
    require_exact(state, pl.concat(batches), naive_features, features=kept)
    assert state.n_dropped == 0
