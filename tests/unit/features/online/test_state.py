"""The state's counts, limits and refusals, and numbers worked by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.errors import InputError, SchemaError
from recbench.features.definitions import (
    DecayedPopularity,
    LastValues,
    SinceLast,
    WindowFeature,
)
from recbench.features.online import OnlineState, Updated
from recbench.features.online.columns import NULL

START = datetime(2026, 1, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
SECOND = 1_000_000
MINUTE = timedelta(minutes=1)


def window(name, aggregation, value=None, *, entity="user_id", of="events", seconds=60):
    return WindowFeature(
        name=name,
        entity=entity,
        aggregation=aggregation,
        value=value,
        of=of,
        window=timedelta(seconds=seconds),
    )


COUNT = window("n", "count")


def at(second):
    return START_US + int(second * SECOND)


def rows(*held, **constant):
    """(user, second, category) each, clicked on item 1."""
    frame = pl.DataFrame(
        [(user, at(second), category) for user, second, category in held],
        schema={c.USER_ID: pl.Int64, c.TS: pl.Int64, c.CATEGORY: pl.String},
        orient="row",
    )
    more = {c.ITEM_ID: pl.lit(1, pl.Int64), c.CLICKED: pl.lit(True)} | constant
    return frame.with_columns(pl.col(c.TS).cast(c.INSTANT)).with_columns(**more)


def clicks(*seconds, user=1, **constant):
    return rows(*((user, second, "A") for second in seconds), **constant)


def test_an_event_counts_from_the_instant_after_its_own():
    state = OnlineState([COUNT])
    assert state.update(clicks(0)) == Updated(n_rows=1, n_late=0)
    # [t - 60 s, t): the event at 0 s is in it from 1 us to 60 s
    assert [state.lookup(c.USER_ID, 1, at_us=at(0) + us)["n"] for us in (0, 1)] == [0, 1]
    assert [state.lookup(c.USER_ID, 1, at_us=at(60) + us)["n"] for us in (0, 1)] == [1, 0]


def test_unknown_ids_have_no_events_and_no_entity_has_no_features():
    features = [
        *(COUNT, window("ctr", "mean", c.CLICKED)),
        LastValues(name="last", entity="user_id", value=c.ITEM_ID, k=2),
        SinceLast(name="since", entity="user_id"),
        DecayedPopularity(name="hot", entity="user_id", half_life=MINUTE),
    ]
    state = OnlineState(features)
    nothing = {"n": 0, "ctr": None, "last": [], "since": None, "hot": 0.0}
    for _ in range(2):  # of an empty state, and of one that knows others
        assert state.lookup(c.USER_ID, 5, at_us=at(9)) == nothing
        assert state.lookup(c.USER_ID, None, at_us=at(9)) == dict.fromkeys(nothing)
        found = state.lookup_many(c.USER_ID, pl.Series([5, None]), at_us=at(9))
        assert found.drop(c.USER_ID, c.TS).to_dicts() == [nothing, dict.fromkeys(nothing)]
        state.update(clicks(0))


def test_lookups_of_nobody_are_empty_frames():
    state = OnlineState([COUNT, LastValues(name="last", entity="user_id", value=c.ITEM_ID, k=2)])
    for _ in range(2):
        found = state.lookup_many(c.USER_ID, np.array([], dtype=np.int64), at_us=at(0))
        assert found.schema == {
            c.USER_ID: pl.Int64,
            c.TS: c.INSTANT,
            "n": pl.Int64,
            "last": pl.List(pl.Int64),
        }
        assert len(found) == 0
        state.update(clicks(0))


def test_late_rows_are_counted_and_left_out():
    state = OnlineState([COUNT])
    late = clicks(0, 5, 10).with_columns(
        pl.Series(c.WATERMARK, [None, at(6), at(10)]).cast(c.INSTANT)
    )
    assert state.update(late) == Updated(n_rows=2, n_late=1)  # 5 s is before its 6 s
    assert (state.n_rows, state.n_late) == (2, 1)
    assert state.lookup(c.USER_ID, 1, at_us=at(20)) == {"n": 2}


def test_what_is_forgotten_is_not_answered():
    state = OnlineState([COUNT])
    state.update(clicks(0), watermark_us=at(100))
    state.update(clicks(200), watermark_us=at(50))  # a watermark never goes back
    assert state.watermark_us == at(100)
    with pytest.raises(
        InputError, match=f"`at_us` is {at(100) - 1}, before the watermark {at(100)}"
    ):
        state.lookup(c.USER_ID, 1, at_us=at(100) - 1)
    with pytest.raises(InputError, match=f"`at_us` is {at(99)}, before the watermark {at(100)}"):
        state.lookup_many(c.USER_ID, np.array([1, 1]), at_us=np.array([at(101), at(99)]))
    assert state.lookup(c.USER_ID, 1, at_us=at(100)) == {"n": 0}


def test_entities_without_features_are_refused():
    state = OnlineState([COUNT])
    with pytest.raises(InputError, match=r"No feature is of 'item_id', only of \['user_id'\]"):
        state.lookup(c.ITEM_ID, 1, at_us=at(0))
    with pytest.raises(SchemaError, match="`ids` must be Int64, got String"):
        state.lookup_many(c.USER_ID, pl.Series(["1"]), at_us=at(0))


def test_positions_come_with_the_rows():
    state = OnlineState([COUNT])
    state.update(clicks(0, 1), positions={"a": 2})
    state.update(clicks(2), positions={"b": 1})
    assert state.positions == {"a": 2, "b": 1}
    # read again: all that is before these positions is there
    assert state.update(clicks(0, 1), positions={"a": 2}) == Updated(n_rows=0, n_late=0)
    assert state.lookup(c.USER_ID, 1, at_us=at(9)) == {"n": 3}
    with pytest.raises(InputError, match=r"go back to \{'a': 1\} from \{'a': 2\}"):
        state.update(clicks(3), positions={"a": 1, "b": 2})
    assert state.positions == {"a": 2, "b": 1}


def test_an_update_without_rows_moves_positions_and_watermark():
    state = OnlineState([COUNT])
    state.update(pl.DataFrame(), positions={"a": 7}, watermark_us=at(0))
    assert (state.positions, state.watermark_us) == ({"a": 7}, at(0))


def test_an_entity_with_too_many_events_loses_its_oldest_and_is_counted():
    state = OnlineState([COUNT, window("c", "count", of="clicks")], max_events_per_entity=3)
    state.update(clicks(*range(5)))
    state.update(clicks(6, 7, user=2))
    assert state.lookup(c.USER_ID, 1, at_us=at(9)) == {"n": 3, "c": 3}
    assert state.lookup(c.USER_ID, 1, at_us=at(3)) == {"n": 1, "c": 1}  # of 0, 1, 2 only 2
    assert state.n_truncated == 1
    state.update(clicks(0.5, user=2))
    assert state.n_truncated == 1
    state.update(clicks(0.6, user=2))
    assert state.n_truncated == 2
    assert state.lookup(c.USER_ID, 2, at_us=at(9)) == {"n": 3, "c": 3}


def test_popularity_of_a_truncated_entity_keeps_all_its_clicks():
    hot = DecayedPopularity(name="hot", half_life=timedelta(seconds=1))
    state = OnlineState([hot], max_events_per_entity=1)
    state.update(clicks(0, 1, 2))
    # 2^-3 + 2^-2 + 2^-1
    assert state.lookup(c.ITEM_ID, 1, at_us=at(3)) == {"hot": pytest.approx(0.875)}
    # the clicks of 0 s and 1 s are folded, 1.5 as of 1 s, and weigh as much at any instant before
    assert state.lookup(c.ITEM_ID, 1, at_us=at(0.5)) == {"hot": pytest.approx(1.5)}
    assert state.lookup_many(c.ITEM_ID, np.array([1]), at_us=at(0.5))["hot"][0] == 1.5
    assert state.n_truncated == 1


def test_folded_clicks_outlive_many_half_lives():
    hot = DecayedPopularity(name="hot", half_life=timedelta(seconds=1))
    state = OnlineState([hot])
    # the reference stands at 0 s until a click is folded more than 256 half-lives later
    for second in (0, 250, 257, 260):
        state.update(clicks(second), watermark_us=at(second))
        state.sweep()
    state.update(clicks(500), watermark_us=at(261))
    state.sweep()
    # at 262 s: 2^-262 + 2^-12 + 2^-5 + 2^-2; the click of 500 s is still to come
    expected = 2**-12 + 2**-5 + 2**-2
    assert state.lookup(c.ITEM_ID, 1, at_us=at(262))["hot"] == pytest.approx(expected, rel=1e-12)
    many = state.lookup_many(c.ITEM_ID, np.array([1]), at_us=at(262))
    assert many["hot"][0] == pytest.approx(expected, rel=1e-12)


def test_popularity_of_all_entities_at_once():
    features = [
        DecayedPopularity(name="item_hot", half_life=timedelta(seconds=1)),
        DecayedPopularity(name="slow", half_life=MINUTE, entity="category"),
        DecayedPopularity(name="hot", half_life=timedelta(seconds=1), entity="category"),
    ]
    state = OnlineState(features)
    state.update(rows((1, 0, "A"), (1, 1, "A|B"), (2, 1, "A"), (3, 3, "A")), watermark_us=at(2))
    state.sweep()
    state.update(rows((1, 2, None)))
    found = state.popularity("hot", at_us=at(3))
    # at 3 s, without what happens then: A 2^-3 + 2^-2, A|B 2^-2
    assert dict(found.rows()) == {"A": pytest.approx(0.375), "A|B": pytest.approx(0.25)}
    assert found.columns == [c.CATEGORY, "hot"]
    # item 1: 2^-3 + 2^-2 + 2^-2 + 2^-1
    assert state.popularity("item_hot", at_us=at(3)).rows() == [(1, pytest.approx(1.125))]
    with pytest.raises(InputError, match="is called 'n', only .'item_hot', 'slow', 'hot'."):
        state.popularity("n", at_us=at(3))
    with pytest.raises(InputError, match=f"{at(1)}, before the watermark {at(2)}"):
        state.popularity("hot", at_us=at(1))


JUMPS = window("jumps", "sum", "category_jump", of="clicks")


def test_a_click_between_two_others_corrects_the_jump_of_the_second():
    state = OnlineState([JUMPS, window("item_jumps", "sum", "category_jump", entity="item_id")])
    state.update(rows((1, 0, "A"), (1, 2, "A"), (1, 4, "B")))
    assert state.lookup(c.USER_ID, 1, at_us=at(9)) == {"jumps": 1}
    state.update(rows((1, 1, "C|D")))  # A, C|D, A, B
    assert state.lookup(c.USER_ID, 1, at_us=at(9)) == {"jumps": 3}
    assert state.lookup(c.ITEM_ID, 1, at_us=at(9)) == {"item_jumps": 3}
    state.update(rows((1, 3, "A|B"), (1, 5, None), (1, 6, "C")))  # …, A, A|B, B, ?, C
    assert state.lookup(c.USER_ID, 1, at_us=at(9)) == {"jumps": 2}
    assert state.lookup(c.ITEM_ID, 1, at_us=at(9)) == {"item_jumps": 2}


def test_a_partition_that_begins_late_still_finds_the_click_before():
    slow = window("item_jumps_1h", "sum", "category_jump", entity="item_id", seconds=3600)
    state = OnlineState([window("jumps", "count", of="clicks", seconds=1), slow])
    seconds = range(100, 200)
    state.update(
        rows((1, 99, "B"), *((1, second, "A") for second in seconds)), watermark_us=at(199)
    )
    state.sweep()
    # rows of a partition that nobody had seen are not late, however far behind the others
    state.update(rows((1, 150.5, "C")))
    # B to A at 100 s; A to C and C to A at 150.5 s and 151 s
    assert state.lookup(c.ITEM_ID, 1, at_us=at(300)) == {"item_jumps_1h": 3}
    state.update(rows((1, 50, "A")))
    assert state.lookup(c.ITEM_ID, 1, at_us=at(300)) == {"item_jumps_1h": 4}  # A to B at 99 s


def test_the_last_jump_follows_a_click_that_is_kept_for_it():
    last = LastValues(name="last", entity="user_id", value="category_jump", k=1)
    state = OnlineState([last])
    state.update(rows((1, 5, "B"), (1, 10, "A")), watermark_us=at(100))
    state.sweep()
    state.update(rows((1, 3, "A")))  # before both: the last click still follows B
    assert state.lookup(c.USER_ID, 1, at_us=at(100)) == {"last": [1]}


def test_entities_of_which_nothing_is_left_are_dropped():
    state = OnlineState([COUNT])
    for user in range(1000):
        state.update(clicks(user, user=user), watermark_us=at(user))
    table = state.tables.by_entity[c.USER_ID]
    # a minute holds 60 of them, or 61; sweeps come at 64 and a quarter more
    assert len(table.index) < 100
    assert state.n_dropped == 0
    assert state.lookup(c.USER_ID, 999, at_us=at(1000)) == {"n": 1}


def test_idle_entities_are_dropped_and_counted_where_something_was_left():
    features = [COUNT, SinceLast(name="since", entity="user_id")]
    state = OnlineState(features, idle_after=timedelta(minutes=2))
    state.update(clicks(0, user=1), watermark_us=at(0))
    state.update(clicks(100, user=2), watermark_us=at(120))
    state.sweep()
    assert state.lookup(c.USER_ID, 1, at_us=at(120)) == {"n": 0, "since": 120 * SECOND}
    state.update(clicks(200, user=3), watermark_us=at(121))
    state.sweep()
    assert state.lookup(c.USER_ID, 1, at_us=at(121)) == {"n": 0, "since": None}
    assert state.lookup(c.USER_ID, 2, at_us=at(121)) == {"n": 1, "since": 21 * SECOND}
    assert state.n_dropped == 1
    state.update(clicks(130, user=1))  # comes back as a new one
    assert state.lookup(c.USER_ID, 1, at_us=at(140)) == {"n": 1, "since": 10 * SECOND}


def test_an_entity_that_comes_back_in_the_batch_that_drops_it_stays():
    state = OnlineState([COUNT])
    users = range(64)
    state.update(pl.concat([clicks(0, user=user) for user in users]), watermark_us=at(100))
    state.update(pl.concat([clicks(200, user=user) for user in range(32, 96)]))
    found = state.lookup_many(c.USER_ID, np.arange(100), at_us=at(201))
    assert found["n"].to_list() == [0] * 32 + [1] * 64 + [0] * 4


def test_columns_that_rows_lack_are_null():
    features = [
        window("watched", "sum", c.WATCH_MS),
        window("most", "max", c.WATCH_MS),
        LastValues(name="last", entity="user_id", value=c.WATCH_MS, k=2),
    ]
    state = OnlineState(features)
    state.update(clicks(0).drop(c.CLICKED))  # without `clicked` every row is a click
    assert state.lookup(c.USER_ID, 1, at_us=at(9)) == {"watched": 0, "most": None, "last": [None]}
    state.update(clicks(1, watch_ms=pl.lit(7, pl.Int64)))
    assert state.lookup(c.USER_ID, 1, at_us=at(9)) == {"watched": 7, "most": 7, "last": [None, 7]}


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (True, pl.Boolean()),
        ("x", pl.String()),
        (START, c.INSTANT),
        (2.5, pl.Float32()),
        (3, pl.UInt8()),
    ],
)
def test_last_values_are_what_they_were(value, dtype, tmp_path):
    features = [
        LastValues(name="last", entity="user_id", value="v", k=2),
        window("n_v", "n_unique", "v"),
    ]
    state = OnlineState(features)
    state.update(clicks(0, 1, v=pl.lit(value, dtype)))
    state.update(clicks(2, v=pl.lit(None, dtype)))
    state.snapshot(tmp_path / "state")
    for each in (state, OnlineState.restore(tmp_path / "state", features)):
        assert each.lookup(c.USER_ID, 1, at_us=at(9)) == {"last": [value, None], "n_v": 1}
        many = each.lookup_many(c.USER_ID, np.array([1]), at_us=at(9))
        assert many["last"].dtype == pl.List(dtype)
        assert many.drop(c.USER_ID, c.TS).to_dicts() == [{"last": [value, None], "n_v": 1}]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (clicks(0).drop(c.USER_ID), "need `user_id` as Int64, got None"),
        (clicks(0).with_columns(pl.col(c.TS).dt.epoch()), "need `ts` as Datetime.*, got Int64"),
        (clicks(0, ts=pl.lit(None, c.INSTANT)), "`ts` is null in 1 of 1 rows"),
        (clicks(0, watch_ms=pl.lit("x")), "`watch_ms` cannot be added up: its dtype is String"),
        (clicks(0, v=pl.lit(b"x")), "`v` cannot be kept: its dtype is Binary"),
        (clicks(0, v=pl.lit(1, pl.UInt64)), "`v` cannot be kept: its dtype is UInt64"),
        (clicks(0, v=pl.lit(float("nan"))), "`v` holds NaN; what is unknown is null"),
        (clicks(0, v=pl.lit(-(2**63))), "`v` holds -9223372036854775808"),
        (clicks(0, category_jump=pl.lit(1)), "`category_jump` is made from the clicks here"),
    ],
)
def test_rows_that_cannot_be_kept_are_refused_and_change_nothing(events, message):
    features = [
        window("watched", "sum", c.WATCH_MS),
        LastValues(name="last", entity="user_id", value="v", k=2),
    ]
    state = OnlineState(features)
    with pytest.raises(InputError, match=message):
        state.update(events, positions={"a": 1}, watermark_us=at(0))
    assert (state.n_rows, state.positions, state.watermark_us) == (0, {}, None)


def test_a_column_that_changes_its_dtype_is_refused():
    state = OnlineState([window("watched", "sum", c.WATCH_MS)])
    state.update(clicks(0, watch_ms=pl.lit(1, pl.Int64)))
    state.update(clicks(1, watch_ms=pl.lit(None)))
    with pytest.raises(SchemaError, match="`watch_ms` was Int64 in earlier events and is Float64"):
        state.update(clicks(0, watch_ms=pl.lit(1.5)))
    assert state.lookup(c.USER_ID, 1, at_us=at(9)) == {"watched": 1}


def test_features_that_no_state_takes_are_refused():
    with pytest.raises(InputError, match=r"each of its own name; got \[\]"):
        OnlineState([])
    with pytest.raises(InputError, match=r"each of its own name; got \['n', 'n'\]"):
        OnlineState([COUNT, COUNT])
    last = LastValues(name="last", entity="user_id", value=c.ITEM_ID, k=20)
    with pytest.raises(InputError, match="`max_events_per_entity` must be at least 20.*; got 19"):
        OnlineState([last], max_events_per_entity=19)
    with pytest.raises(InputError, match="`max_events_per_entity` must be at least 1.*; got 0"):
        OnlineState([COUNT], max_events_per_entity=0)
    with pytest.raises(InputError, match="the longest window, 0:01:00; got 0:00:59"):
        OnlineState([COUNT], idle_after=timedelta(seconds=59))


def test_memory_is_counted():
    state = OnlineState([COUNT])
    before = state.memory_bytes
    state.update(pl.concat([clicks(0, 1, 2, 3, user=user) for user in range(200)]))
    # 800 instants of 8 bytes at the least
    assert state.memory_bytes > before + 6400


LAST_ITEMS = LastValues(name="last", entity="user_id", value=c.ITEM_ID, k=3)
LAST_WATCHED = LastValues(name="watched", entity="user_id", value=c.WATCH_MS, k=3)


def recent(clicks):
    return list(zip(clicks.item_ids.tolist(), clicks.ts.tolist(), strict=True))


def test_a_user_is_looked_up_with_the_instants_of_the_latest_clicks():
    state = OnlineState([COUNT, LAST_ITEMS])
    items = pl.Series([7, 8, 9, 10], dtype=pl.Int64)
    state.update(clicks(0, 1, 2, 3).with_columns(items.alias(c.ITEM_ID)))
    state.update(clicks(2.5, clicked=pl.lit(False)))
    features, found = state.lookup_user(1, at_us=at(3))
    assert features == state.lookup(c.USER_ID, 1, at_us=at(3))
    assert recent(found) == [(7, at(0)), (8, at(1)), (9, at(2))]  # the one at 3 is not before 3
    _, found = state.lookup_user(1, at_us=at(3) + 1)
    assert recent(found) == [(8, at(1)), (9, at(2)), (10, at(3))]
    assert set(found.watch_ms.tolist()) == {NULL}  # no feature keeps it
    features, nobody = state.lookup_user(77, at_us=at(3))
    assert features == {"n": 0, "last": []}
    assert recent(nobody) == []


def test_only_clicks_since_an_instant_are_looked_up():
    state = OnlineState([COUNT, LAST_ITEMS])
    state.update(clicks(0, 1, 2, 3, 4))

    def since(seconds, at_s=5):
        return recent(state.lookup_user(1, at_us=at(at_s), since_us=at(seconds))[1])

    assert since(2) == [(1, at(3)), (1, at(4))]  # the one at 2 is not later
    assert since(2, at_s=4) == [(1, at(3))]
    assert since(0) == [(1, at(2)), (1, at(3)), (1, at(4))]  # no more than the last three
    assert since(4) == since(9) == []


def test_clicks_that_were_looked_up_do_not_change_afterwards():
    state = OnlineState([COUNT, LAST_ITEMS])
    state.update(clicks(0, 1))
    _, found = state.lookup_user(1, at_us=at(9))
    state.update(clicks(0.5, 2, item_id=pl.lit(5, pl.Int64)))
    assert recent(found) == [(1, at(0)), (1, at(1))]


def test_what_was_watched_is_told_where_a_feature_keeps_it():
    state = OnlineState([LAST_ITEMS, LAST_WATCHED])
    watched = pl.Series([500, None], dtype=pl.Int64)
    state.update(clicks(0, 1).with_columns(watched.alias(c.WATCH_MS)))
    assert state.lookup_user(1, at_us=at(9))[1].watch_ms.tolist() == [500, NULL]


def test_a_state_that_keeps_no_items_has_no_latest_clicks():
    state = OnlineState([COUNT, SinceLast(name="since", entity="user_id")])
    with pytest.raises(InputError, match="kept only for a `LastValues` of `item_id`"):
        state.lookup_user(1, at_us=at(0))
