"""Small tables that show what a log is like."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbench.errors import InputError
from recbench.tables.shape import concentration, drift, events_per_day, gaps_s, same_instant

START = datetime(2026, 1, 1, tzinfo=UTC)


def log(*rows):
    """Clicked events of (user, item, hours after the start)."""
    return pl.DataFrame(
        [(user, item, START + timedelta(hours=hour), True) for user, item, hour in rows],
        schema={
            "user_id": pl.Int64,
            "item_id": pl.Int64,
            "ts": pl.Datetime("us", "UTC"),
            "clicked": pl.Boolean,
        },
        orient="row",
    )


def test_idle_days_count_as_days_without_events():
    days = events_per_day(log((1, 1, 0), (1, 2, 23), (1, 3, 50)))

    assert days.rows() == [(START + timedelta(days=day), n) for day, n in enumerate((2, 0, 1))]


def test_gaps_are_between_events_of_the_same_user_whatever_the_order_of_rows():
    # user 1: hours 0, 1, 1 -> gaps 1 h and 0; user 2: hours 5, 2 -> 3 h; user 3: none
    events = log((1, 1, 0), (2, 2, 5), (1, 3, 1), (3, 1, 4), (2, 1, 2), (1, 2, 1))

    assert gaps_s(events).to_list() == [0.0, 3600.0, 10_800.0]


def test_there_are_no_gaps_where_nobody_comes_back():
    assert gaps_s(log((1, 1, 0), (2, 1, 1))).to_list() == []


def test_concentration_adds_up_the_most_clicked_items_first():
    # item 7 has 3 of 4 clicks, item 8 has 1
    curve = concentration(log((1, 8, 0), (1, 7, 1), (2, 7, 2), (3, 7, 3)))

    assert curve.rows() == [(0.0, 0.0), (0.5, 0.75), (1.0, 1.0)]


def test_impressions_without_a_click_do_not_make_an_item_popular():
    events = log((1, 7, 0), (1, 8, 1)).with_columns(clicked=pl.col("item_id") == 7)

    assert concentration(events).rows() == [(0.0, 0.0), (1.0, 1.0)]


@pytest.mark.parametrize("shape", [concentration, lambda e: drift(e, k=2, n_periods=2)])
def test_without_a_click_there_is_no_popularity(shape):
    with pytest.raises(InputError, match="None of 2 events is clicked"):
        shape(log((1, 7, 0), (1, 8, 1)).with_columns(clicked=pl.lit(False)))


def test_drift_compares_each_top_list_with_the_one_before_and_with_the_first():
    # periods of 3 h; top 2: {1, 2}, then {2, 3}, then {3, 1}
    events = log((1, 1, 0), (1, 2, 1), (1, 2, 3), (1, 3, 4), (1, 3, 6), (1, 1, 9))

    kept = drift(events, k=2, n_periods=3)

    assert kept.rows() == [
        (START + timedelta(hours=3), 0.5, 0.5),
        (START + timedelta(hours=6), 0.5, 0.5),
    ]


def test_drift_breaks_ties_by_item_id_and_takes_no_more_than_k():
    # first period: items 1, 2, 3 once each -> top 2 is {1, 2}; second: 3 and 2 -> {2, 3}
    events = log((1, 3, 0), (1, 2, 1), (1, 1, 2), (1, 3, 8), (1, 2, 9))

    assert drift(events, k=2, n_periods=2).rows() == [(START + timedelta(hours=4.5), 0.5, 0.5)]


def test_a_period_without_clicks_is_passed_over():
    # 4 periods of 3 h: item 1, nothing, nothing, item 1
    kept = drift(log((1, 1, 0), (1, 1, 12)), k=1, n_periods=4)

    assert kept.rows() == [(START + timedelta(hours=9), 1.0, 1.0)]


def test_a_log_of_one_instant_has_no_drift():
    assert drift(log((1, 1, 0), (2, 2, 0)), k=1, n_periods=3).height == 0


@pytest.mark.parametrize(("k", "n_periods"), [(0, 2), (5, 1)])
def test_top_lists_need_an_item_and_two_periods(k, n_periods):
    with pytest.raises(InputError, match=f"got {k} and {n_periods}"):
        drift(log((1, 1, 0)), k=k, n_periods=n_periods)


def test_same_instant_groups_events_by_how_many_come_at_once():
    # user 1: one alone and two at once; user 2: six at once, at an instant of user 1's
    events = log((1, 1, 0), (1, 2, 1), (1, 3, 1), *((2, item, 1) for item in range(6)))

    assert same_instant(events).rows() == [
        ("1", pytest.approx(1 / 9)),
        ("2", pytest.approx(2 / 9)),
        ("3-5", 0.0),
        ("6-10", pytest.approx(6 / 9)),
        ("11 or more", 0.0),
    ]


events = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(0, 100)), min_size=1, max_size=40
)


@given(events)
def test_the_shapes_add_up(rows):
    made = log(*rows)

    assert events_per_day(made)["n_events"].sum() == len(rows)
    assert len(gaps_s(made)) == len(rows) - made["user_id"].n_unique()
    assert same_instant(made)["events_frac"].sum() == pytest.approx(1)
    curve = concentration(made)["clicks_frac"]
    assert curve.is_sorted()
    assert curve[-1] == pytest.approx(1)
    kept = drift(made, k=3, n_periods=4)
    assert kept.select(pl.col("of_previous", "of_first").is_between(0, 1).all()).row(0) == (
        True,
        True,
    )
