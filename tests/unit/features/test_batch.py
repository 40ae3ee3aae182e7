"""Window features and decayed popularity at events and at points, worked out by hand."""

import importlib.util
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError, SchemaError
from recbench.features import batch
from recbench.features.batch import collect, features_at, window_features, window_lookup
from recbench.features.definitions import (
    DecayedPopularity,
    WindowFeature,
)
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES

START = datetime(2026, 1, 1, tzinfo=UTC)


def instants(*seconds):
    times = [START + timedelta(seconds=second) for second in seconds]
    return pl.Series(times, dtype=pl.Datetime("us", "UTC"))


def feature(aggregation, *, entity="user_id", value="watch_ms", name="x", seconds=10):
    return WindowFeature(
        name=name,
        entity=entity,
        aggregation=aggregation,
        value=None if aggregation == "count" else value,
        window=timedelta(seconds=seconds),
    )


@pytest.fixture
def events():
    """User 1 in seconds 20, 0, 10, 10 and user 2 in second 5, in this order."""
    return pl.LazyFrame(
        {
            "user_id": [1, 1, 1, 2, 1],
            "item_id": [5, 5, 6, 5, 5],
            "ts": instants(20, 0, 10, 5, 10),
            "clicked": [True, True, False, True, None],
            "watch_ms": [1, 2, 4, 8, None],
        }
    )


def column(frame, features, **options):
    return window_features(frame, [features], **options).collect()[features.name].to_list()


def test_a_sum_takes_the_window_start_and_leaves_out_the_instant_itself(events):
    # second 20: [10, 20) holds 4 and a null; second 10, twice: [0, 10) holds 2, not each other
    assert column(events, feature("sum")) == [4, 0, 2, 0, 2]


def test_a_count_counts_clicks_only(events):
    # [10, 20) holds an unclicked event and one of unknown outcome
    assert column(events, feature("count")) == [0, 0, 1, 0, 1]


def test_a_mean_leaves_out_nulls_and_is_null_for_an_empty_window(events):
    assert column(events, feature("mean")) == [4.0, None, 2.0, None, 2.0]


def test_an_item_feature_runs_over_all_users(events):
    # item 5: 2 in second 0, 8 in second 5, null in second 10; [10, 20) holds the null alone
    assert column(events, feature("sum", entity="item_id")) == [0, 0, 0, 2, 10]


def test_without_clicked_every_event_is_a_click(events):
    assert column(events.drop("clicked"), feature("count")) == [2, 0, 1, 0, 1]


@pytest.mark.parametrize(("aggregation", "empty"), [("sum", 0), ("mean", None)])
def test_a_column_that_the_log_lacks_counts_as_null(events, aggregation, empty):
    lacking = window_features(events.drop("watch_ms"), [feature(aggregation)]).collect()
    assert lacking["x"].to_list() == [empty] * 5
    assert lacking["x"].dtype == (pl.Float64 if aggregation == "mean" else pl.Int64)


def test_other_columns_and_the_order_of_rows_stay(events):
    computed = window_features(events, DEFAULT_WINDOW_FEATURES).collect()
    assert computed.select(events.collect_schema().names()).equals(events.collect())
    assert computed.columns[-2:] == ["user_clicks_1h", "user_watch_ms_5m"]


def test_small_integers_do_not_overflow():
    frame = pl.LazyFrame(
        {"user_id": [1] * 3, "ts": instants(0, 1, 2), "position": [30_000] * 3},
        schema_overrides={"position": pl.Int16},
    )
    assert column(frame, feature("sum", value="position")) == [0, 30_000, 60_000]


@pytest.mark.parametrize("major", [1, 2])
def test_both_forms_of_a_window_give_the_same_numbers(events, monkeypatch, major):
    monkeypatch.setattr(batch, "POLARS_MAJOR", major)
    chosen = window_features(events, [feature("sum")])
    assert ("rolling_sum_by" in chosen.explain()) == (major == 1)
    assert chosen.collect()["x"].to_list() == [4, 0, 2, 0, 2]


def test_the_gpu_query_is_the_form_that_the_gpu_runs(events, monkeypatch):
    monkeypatch.setattr(batch, "POLARS_MAJOR", 1)
    assert "rolling_sum_by" not in window_features(events, [feature("sum")], engine="gpu").explain()


def test_popularity_halves_and_sees_neither_its_instant_nor_unclicked_events(events):
    # item 5 is clicked in seconds 0, 5 and 20, half-life 5 s: at 5: 1/2; at 10: 1/4 + 1/2;
    # at 20: 2 ** -4 + 2 ** -3. Item 6 was never clicked before
    popular = DecayedPopularity(name="hot", half_life=timedelta(seconds=5))
    expected = [0.1875, 0.0, 0.0, 0.5, 0.75]
    assert column(events, popular) == pytest.approx(expected, rel=1e-12)


def test_popularity_is_carried_over_thousands_of_half_lives():
    # half-life 1 s, clicks in seconds 0, 255 and 100000, asked a second after each
    frame = pl.LazyFrame(
        {"item_id": [5] * 3, "ts": instants(0, 255, 100_000), "clicked": [True] * 3}
    )
    points = pl.LazyFrame({"item_id": [5] * 4, "ts": instants(1, 256, 257, 100_001)})
    hot = DecayedPopularity(name="hot", half_life=timedelta(seconds=1))
    found = features_at(frame, points, [hot]).collect()["hot"].to_list()
    assert found == pytest.approx([0.5, 0.5, 0.25, 0.5], rel=1e-12)


def test_points_see_the_log_but_not_one_another(events):
    points = pl.LazyFrame(
        {"watch_ms": [100, 200, 300], "user_id": [1, 3, 1], "ts": instants(11, 11, 10)}
    )
    found = features_at(events, points, [feature("sum"), feature("count", name="n")]).collect()
    # user 1 at second 11: [1, 11) holds 4 and a null, no click; at 10 as the events there
    assert found.rows() == [
        (100, 1, instants(11)[0], 4, 0),
        (200, 3, instants(11)[0], 0, 0),
        (300, 1, instants(10)[0], 2, 1),
    ]


def test_no_events_and_no_points_give_empty_frames(events):
    nothing = events.filter(pl.lit(False))
    assert window_features(nothing, DEFAULT_WINDOW_FEATURES).collect().height == 0
    found = features_at(nothing, events.select("user_id", "ts"), DEFAULT_WINDOW_FEATURES).collect()
    assert found["user_clicks_1h"].to_list() == [0] * 5
    assert features_at(events, nothing, [feature("sum")]).collect().height == 0


def test_no_features_leave_the_events_as_they_are(events):
    assert window_features(events, []).collect().equals(events.collect())


def test_a_lookup_gives_the_features_of_users_at_instants(events):
    look_up = window_lookup(events.collect(), [feature("sum"), feature("mean", name="m")])
    microseconds = instants(11, 11).dt.epoch("us").to_numpy()
    found = look_up(np.array([1, 3]), microseconds)
    assert found.dtype == np.float32
    assert found.tolist() == [[4.0, 4.0], [0.0, 0.0]]


def test_a_missing_entity_is_refused(events):
    with pytest.raises(SchemaError, match=r"`events` need \['user_id'\]"):
        window_features(events.drop("user_id"), [feature("sum")])
    with pytest.raises(SchemaError, match=r"`points` need \['user_id'\]"):
        features_at(events, events.drop("user_id"), [feature("sum")])


def test_points_of_another_dtype_are_refused(events):
    points = events.with_columns(pl.col("ts").dt.cast_time_unit("ms"))
    with pytest.raises(SchemaError, match=r"`ts` is Datetime.*'us'.* but Datetime.*'ms'"):
        features_at(events, points, [feature("sum")])


def test_a_value_that_cannot_be_added_up_is_refused(events):
    worded = events.with_columns(category=pl.lit("a"))
    with pytest.raises(SchemaError, match="`category` cannot be added up: its dtype is String"):
        window_features(worded, [feature("sum", value="category")])


@pytest.mark.parametrize("names", [["watch_ms"], ["twin", "twin"]])
def test_a_name_that_is_taken_is_refused(events, names):
    with pytest.raises(InputError, match=rf"taken in `events`: \['{names[0]}'\]"):
        window_features(events, [feature("sum", name=name) for name in names])


def test_an_unknown_engine_is_refused(events):
    with pytest.raises(InputError, match="must be 'cpu' or 'gpu', got 'tpu'"):
        collect(events, engine="tpu")


@pytest.mark.skipif(
    importlib.util.find_spec("cudf_polars") is not None, reason="the GPU engine is installed"
)
def test_the_gpu_engine_says_what_to_install_where_it_is_missing(events):
    with pytest.raises(InputError, match=r"cudf_polars.*environments/README\.md"):
        collect(events, engine="gpu")


def test_looked_up_values_may_be_written_as_torch_asks():
    events = pl.DataFrame(
        {"user_id": [1], "item_id": [2], "ts": [0], "clicked": [True], "watch_ms": [5]}
    ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    look_up = window_lookup(events, DEFAULT_WINDOW_FEATURES)
    found = look_up(np.array([1]), np.array([1_000_000]))
    assert found.flags.writeable
    assert found.tolist() == [[1.0, 5.0]]
