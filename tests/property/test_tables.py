"""What holds for every table: rows and ids, histories, splits."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recbench.tables.queries import InteractionLog
from recbench.tables.split import split_by_time, split_leave_last_out
from recbench.tables.vocabulary import Vocabulary

START = datetime(2026, 1, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000

any_id = st.integers(-(2**63), 2**63 - 1)
id_lists = st.lists(any_id, max_size=30)


@st.composite
def logs(draw, *, min_size=1):
    """Few users, items and instants, so that ties are common; rows in any order."""
    row = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(0, 12))
    rows = draw(st.lists(row, min_size=min_size, max_size=40))
    users, items, seconds = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "user_id": users,
            "item_id": items,
            "ts": [START + timedelta(seconds=s) for s in seconds],
        }
    )


@given(id_lists, id_lists)
def test_ids_and_rows_go_there_and_back_and_growing_renumbers_nobody(first, second):
    old = Vocabulary.of(first)
    grown = old.grow(second)
    assert old.ids[old.rows(first)].tolist() == first
    assert grown.ids[: len(old)].tolist() == old.ids.tolist()
    assert grown.ids[grown.rows(second)].tolist() == second
    assert set(grown.ids.tolist()) == {*first, *second}


@given(logs(), st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 14)), max_size=8))
def test_histories_match_a_naive_loop(events, asked):
    log = InteractionLog.from_events(events)
    users = np.array([user for user, _ in asked], dtype=np.int64)
    instants = np.array([START_US + second * 1_000_000 for _, second in asked], dtype=np.int64)
    queries = log.queries(users, instants)
    ordered = events.sort("ts", maintain_order=True).rows(named=True)
    for q, (user, second) in enumerate(asked):
        before = START + timedelta(seconds=second)
        naive = [r["item_id"] for r in ordered if r["user_id"] == user and r["ts"] < before]
        rows = queries.log.item_rows[queries.starts[q] : queries.ends[q]]
        assert log.items.ids[rows].tolist() == naive
        assert set(queries.matrix()[[q]].indices) == set(log.items.rows(naive))


@given(logs(min_size=3), st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.2, 0.3, 0.5)]))
def test_a_split_by_time_orders_its_parts_and_loses_nothing(events, fractions):
    instants = events.sort("ts")["ts"]
    cuts = [instants[int(len(events) * s + 1e-6)] for s in (fractions[0], sum(fractions[:2]))]
    if not instants[0] < cuts[0] < cuts[1]:
        return  # too few instants: refused, as the unit tests state
    split = split_by_time(events, fractions=fractions)
    assert split.train["ts"].max() < split.validation_ts <= split.validation["ts"].min()
    assert split.validation["ts"].max() < split.test_ts <= split.test["ts"].min()
    together = pl.concat([split.train, split.validation, split.test])
    assert together.sort(together.columns).equals(events.sort(events.columns))


@given(logs())
def test_leaving_the_last_out_keeps_one_event_of_each_user_who_has_two(events):
    out = split_leave_last_out(events)
    sizes = dict(events["user_id"].value_counts().iter_rows())
    assert sorted(out.test["user_id"]) == sorted(user for user, n in sizes.items() if n > 1)
    assert len(out.train) + len(out.test) == len(events)
    last = dict(events.group_by("user_id").agg(pl.col("ts").max()).iter_rows())
    assert all(ts == last[user] for user, ts in out.test.select("user_id", "ts").iter_rows())
