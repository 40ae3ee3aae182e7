"""Features of every kind at events and at points, worked out by hand."""

import importlib.util
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError, SchemaError
from recbench.features import timeline
from recbench.features.batch import collect, features_at, window_features, window_lookup
from recbench.features.definitions import (
    DecayedPopularity,
    LastValues,
    SinceLast,
    WindowFeature,
)
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES

START = datetime(2026, 1, 1, tzinfo=UTC)


def instants(*seconds):
    times = [START + timedelta(seconds=second) for second in seconds]
    return pl.Series(times, dtype=pl.Datetime("us", "UTC"))


def feature(aggregation, *, entity="user_id", value="watch_ms", name="x", seconds=10, of="events"):
    return WindowFeature(
        name=name,
        entity=entity,
        aggregation=aggregation,
        value=None if aggregation == "count" else value,
        window=timedelta(seconds=seconds),
        of=of,
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


def column(frame, feature, **options):
    return window_features(frame, [feature], **options).collect()[feature.name].to_list()


def test_a_sum_takes_the_window_start_and_leaves_out_the_instant_itself(events):
    # second 20: [10, 20) holds 4 and a null; second 10, twice: [0, 10) holds 2, not each other
    assert column(events, feature("sum")) == [4, 0, 2, 0, 2]


def test_a_count_is_of_events_or_of_clicks(events):
    # second 20: [10, 20) holds an unclicked event and one of unknown outcome
    assert column(events, feature("count")) == [2, 0, 1, 0, 1]
    assert column(events, feature("count", of="clicks")) == [0, 0, 1, 0, 1]


def test_a_sum_of_clicks_leaves_out_other_rows(events):
    # item 5 at second 20: the click of 8 ms at 5 is too old, the other event has no outcome
    summed = feature("sum", of="clicks", entity="item_id", seconds=20)
    assert column(events, summed) == [10, 0, 0, 2, 10]


def test_a_click_through_rate_is_the_mean_of_known_outcomes(events):
    # user 1 at second 20: [0, 20) holds true, false and null; at 10: true
    rate = feature("mean", value="clicked", seconds=20)
    assert column(events, rate) == [0.5, None, 1.0, None, 1.0]
    assert column(events.drop("clicked"), rate) == [1.0, None, 1.0, None, 1.0]


def test_extremes_leave_out_nulls_and_are_null_for_an_empty_window(events):
    # user 1 at second 20: [0, 20) holds 2, 4 and null
    assert column(events, feature("min", seconds=20)) == [2, None, 2, None, 2]
    assert column(events, feature("max", seconds=20)) == [4, None, 2, None, 2]


def test_distinct_values_are_counted_once(events):
    # user 1 at second 20: items 5, 6 and 5 again; at 10: item 5
    assert column(events, feature("n_unique", value="item_id", seconds=20)) == [2, 0, 1, 0, 1]
    assert column(events, feature("n_unique", seconds=20)) == [2, 0, 1, 0, 1]


def test_the_last_values_stand_in_the_order_of_time_with_nulls(events):
    last = LastValues(name="x", entity="user_id", value="watch_ms", k=2, of="events")
    # user 1 at second 20: 2, then 4 and null in the order of their rows; k = 2
    assert column(events, last) == [[4, None], [], [2], [], [2]]
    clicked = LastValues(name="x", entity="user_id", value="item_id", k=2)
    assert column(events, clicked) == [[5], [], [5], [], [5]]


def test_the_time_since_the_last_event_is_in_microseconds(events):
    # user 1 at second 20: the last click was in second 0, the last event in second 10
    clicked, any_event = (
        SinceLast(name="x", entity="user_id", of=of) for of in ("clicks", "events")
    )
    assert column(events, clicked) == [20_000_000, None, 10_000_000, None, 10_000_000]
    assert column(events, any_event) == [10_000_000, None, 10_000_000, None, 10_000_000]


def test_a_late_row_counts_nowhere_but_gets_values(events):
    # the click in second 0 came when the watermark was at second 3; the others are in time
    late = events.with_columns(watermark=instants(20, 3, 10, 5, 0))
    assert column(late, feature("sum")) == [4, 0, 0, 0, 0]
    assert column(late, feature("sum", seconds=20)) == [4, 0, 0, 0, 0]
    assert column(late, SinceLast(name="x", entity="user_id")) == [None] * 5
    assert column(late, LastValues(name="x", entity="user_id", value="item_id", k=1)) == [[]] * 5
    hot = DecayedPopularity(name="x", half_life=timedelta(seconds=5))
    # item 5 at 20: the click at 5 only, 2 ** -3; at 10: 2 ** -1
    assert column(late, hot) == pytest.approx([0.125, 0.0, 0.0, 0.0, 0.5], rel=1e-12)


def test_a_row_without_a_watermark_is_not_late(events):
    unknown = events.with_columns(watermark=pl.lit(None, pl.Datetime("us", "UTC")))
    assert column(unknown, feature("sum")) == [4, 0, 2, 0, 2]


@pytest.mark.parametrize(
    ("wanted", "nothing"),
    [
        (feature("sum", entity="category"), 0),
        (feature("mean", entity="category"), None),
        (feature("count", entity="category"), 0),
        (SinceLast(name="x", entity="category", of="events"), None),
        (LastValues(name="x", entity="category", value="item_id", k=1, of="events"), []),
        (DecayedPopularity(name="x", half_life=timedelta(hours=1), entity="category"), 0.0),
    ],
)
def test_rows_without_the_entity_have_no_feature_and_add_to_none(events, wanted, nothing):
    # A and B have one event each, so none before it; the others have no category
    labelled = events.with_columns(category=pl.Series(["A", None, None, "B", None]))
    assert column(labelled, wanted) == [nothing, None, None, nothing, None]
    unlabelled = events.with_columns(category=pl.lit(None, pl.String))
    assert column(unlabelled, wanted) == [None] * 5


def test_a_set_of_categories_is_an_entity_of_its_own(events):
    labelled = events.with_columns(category=pl.Series(["A|B", "A", "A|B", "B", "A|B"]))
    # second 20: [0, 20) holds 4 and null of A|B
    assert column(labelled, feature("sum", entity="category", seconds=20)) == [4, 0, 0, 0, 0]


def test_a_window_longer_than_all_time_holds_everything_before(events):
    ever = WindowFeature(
        name="x", entity="user_id", aggregation="count", value=None, window=timedelta.max
    )
    assert column(events, ever) == [3, 0, 1, 0, 1]


def test_a_mean_leaves_out_nulls_and_is_null_for_an_empty_window(events):
    assert column(events, feature("mean")) == [4.0, None, 2.0, None, 2.0]


def test_an_item_feature_runs_over_all_users(events):
    # item 5: 2 in second 0, 8 in second 5, null in second 10; [10, 20) holds the null alone
    assert column(events, feature("sum", entity="item_id")) == [0, 0, 0, 2, 10]


def test_without_clicked_every_event_is_a_click(events):
    assert column(events.drop("clicked"), feature("count", of="clicks")) == [2, 0, 1, 0, 1]


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


def test_floats_are_added_up_by_themselves():
    # 1e300 and then minus itself would be left as 0 by a difference of running sums, 3 lost
    values = [1e300, 3.0, 4.0, float("inf"), 5.0, 6.0]
    frame = pl.LazyFrame(
        {"user_id": [1] * 6, "ts": instants(0, 10, 15, 30, 50, 55), "watch_ms": values}
    )
    assert column(frame, feature("sum")) == [0.0, 1e300, 3.0, 0.0, 0.0, 5.0]


def test_rows_in_one_stretch_or_in_many_have_the_same_features(monkeypatch):
    rng = np.random.default_rng(0)
    users, items, seconds = rng.integers(0, 9, (3, 500))
    log = pl.LazyFrame(
        {"user_id": users, "item_id": items, "ts": instants(*(seconds * 7).tolist())}
    ).with_columns(clicked=pl.col("item_id") % 3 > 0, watch_ms=pl.col("item_id") / 7)
    wanted = [
        feature("sum"),
        feature("max", name="max"),
        feature("n_unique", name="distinct", value="item_id"),
        DecayedPopularity(name="hot", half_life=timedelta(seconds=1)),
        SinceLast(name="since", entity="user_id"),
    ]
    at_once = window_features(log, wanted).collect()
    monkeypatch.setattr(timeline, "STRETCH_ROWS", 1)
    assert window_features(log, wanted).collect().equals(at_once)
    monkeypatch.setattr(timeline, "STRETCH_ROWS", 1 << 15)
    monkeypatch.setattr(timeline, "LARGEST_KEY", 1)  # as if longer times would overflow
    assert window_features(log, wanted).collect().equals(at_once)


@pytest.mark.parametrize(
    "ids",
    [
        pl.Series([-(2**63), 2**63 - 1], dtype=pl.Int64),
        pl.Series([2**64 - 1, 2**64 - 2], dtype=pl.UInt64),
        pl.Series([-128, 127], dtype=pl.Int8),
        pl.Series(["one", "two"]),
        pl.Series(["one", "two"], dtype=pl.Categorical),
    ],
    ids=lambda ids: str(ids.dtype),
)
def test_ids_may_be_far_apart_or_texts(events, ids):
    # user 1 becomes the first id, user 2 the second
    named = events.with_columns(user_id=pl.lit(ids).gather(pl.col("user_id") - 1))
    assert column(named, feature("sum")) == [4, 0, 2, 0, 2]


def test_the_gpu_query_is_made_of_expressions_only(events):
    wanted = [feature("sum"), SinceLast(name="since", entity="user_id")]
    assert "PYTHON" not in window_features(events, wanted, engine="gpu").explain()
    assert "PYTHON" in window_features(events, wanted).explain()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (feature("n_unique"), "x: `n_unique` needs `engine='cpu'`"),
        (
            LastValues(name="items", entity="user_id", value="item_id", k=3),
            "items: `LastValues` needs `engine='cpu'`",
        ),
        (
            feature("sum", value="category_jump"),
            r"\['category_jump'\] cannot be derived on the GPU",
        ),
    ],
)
def test_what_the_gpu_has_no_form_for_is_refused(events, wanted, message):
    with pytest.raises(InputError, match=message):
        window_features(events, [wanted], engine="gpu")


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
    wanted = [feature("sum"), feature("count", name="n", of="clicks")]
    found = features_at(events, points, wanted).collect()
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
    with pytest.raises(SchemaError, match="x: `sum` needs numbers, `category` is String"):
        window_features(worded, [feature("sum", value="category")])
    assert column(worded, feature("n_unique", value="category")) == [1, 0, 1, 0, 1]


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
