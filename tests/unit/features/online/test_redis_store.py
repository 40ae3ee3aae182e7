"""The store in Redis: a real server, a writer and readers."""

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.errors import InputError, JobError
from recbench.features.definitions import (
    DecayedPopularity,
    LastValues,
    SinceLast,
    WindowFeature,
)
from recbench.features.online import OnlineState
from recbench.features.online.redis_store import RedisStore
from recbench.features.shipped import SHIPPED_FEATURES

START = datetime(2026, 1, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
SECOND = 1_000_000
COUNT = WindowFeature(
    name="n", entity="user_id", aggregation="count", value=None, window=timedelta(seconds=10)
)
FEATURES = (
    *SHIPPED_FEATURES,
    COUNT,
    LastValues(name="last_categories", entity="item_id", value=c.CATEGORY, k=3, of="events"),
    SinceLast(name="since", entity="category"),
)
ENTITIES = {c.USER_ID: [*range(6), None], c.ITEM_ID: range(9), c.CATEGORY: ["A", "A|B", "Ä:*", "x"]}


def log_of(n_rows, *, seed=0, first_s=0):
    """One row a second, some of them swapped with their neighbours."""
    rng = np.random.default_rng(seed)
    seconds = first_s + np.arange(n_rows) + rng.integers(-5, 6, n_rows)
    return pl.DataFrame(
        {
            c.USER_ID: rng.integers(0, 5, n_rows),
            c.ITEM_ID: rng.integers(0, 8, n_rows),
            c.TS: pl.Series([START] * n_rows, dtype=c.INSTANT)
            + pl.Series(seconds * SECOND).cast(pl.Duration("us")),
            c.CLICKED: rng.random(n_rows) < 0.5,
            c.WATCH_MS: rng.integers(0, 60_000, n_rows),
            c.CATEGORY: rng.choice(["A", "B", "A|B", "Ä:*"], n_rows),
        }
    )


def click(user_id, second):
    return log_of(1).with_columns(
        pl.lit(user_id, pl.Int64).alias(c.USER_ID),
        pl.lit(6, pl.Int64).alias(c.ITEM_ID),
        (pl.lit(START, c.INSTANT) + pl.duration(seconds=second)).alias(c.TS),
        pl.lit(True).alias(c.CLICKED),
    )


def require_same_answers(store, state, at_us):
    for entity, ids in ENTITIES.items():
        series = pl.Series(list(ids), dtype=c.EVENT_DTYPES[entity])
        ours, theirs = (s.lookup_many(entity, series, at_us=at_us) for s in (store, state))
        assert ours.equals(theirs)
        for id_ in ids:
            ours, theirs = (s.lookup(entity, id_, at_us=at_us) for s in (store, state))
            assert ours == theirs
            assert list(ours) == list(theirs)


def require_same_users(store, state, at_us):
    for user in range(6):
        (features, ours), (expected, theirs) = (
            s.lookup_user(user, at_us=at_us) for s in (store, state)
        )
        assert features == expected
        for name in ("item_ids", "ts", "watch_ms"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_a_reader_answers_what_the_state_in_memory_answers(redis_url):
    state = OnlineState(FEATURES)
    with RedisStore(redis_url, FEATURES) as writer, RedisStore(redis_url, FEATURES) as reader:
        for number in range(4):
            batch = log_of(200, seed=number, first_s=180 * number)
            watermark = START_US + (180 * number + 150) * SECOND
            for store in (state, writer):
                store.update(batch, positions={"0": number}, watermark_us=watermark)
            assert reader.positions == {"0": number}
            assert reader.watermark_us == watermark
            for later_s in (0, 7, 100, 10**6):
                require_same_answers(reader, state, watermark + later_s * SECOND)
                require_same_users(reader, state, watermark + later_s * SECOND)


def test_the_next_writer_goes_on_where_the_last_one_stopped(redis_url):
    state = OnlineState(FEATURES)
    for number in range(4):
        batch = log_of(300, seed=number, first_s=280 * number)
        watermark = START_US + (280 * number + 200) * SECOND
        with RedisStore(redis_url, FEATURES) as writer:
            for store in (state, writer):
                store.update(batch, positions={"0": number}, watermark_us=watermark)
                store.update(batch, positions={"0": number})  # read again: taken once
    with RedisStore(redis_url, FEATURES) as reader:
        require_same_answers(reader, state, watermark)
        require_same_answers(reader, state, watermark + 1000 * SECOND)


def test_a_lookup_of_a_store_that_nobody_wrote_names_it(redis_url):
    with RedisStore(redis_url, [COUNT], name="mine") as store:
        assert store.positions == {}
        assert store.watermark_us is None
        with pytest.raises(InputError, match="no store called 'mine'"):
            store.lookup(c.USER_ID, 1, at_us=0)


def test_a_lookup_before_the_watermark_names_both(redis_url):
    with RedisStore(redis_url, [COUNT]) as store:
        store.update(click(1, 0), watermark_us=START_US)
        with pytest.raises(InputError, match=f"{START_US - 1}, before the watermark {START_US}"):
            store.lookup(c.USER_ID, 1, at_us=START_US - 1)
        with pytest.raises(InputError, match=f"{START_US - 2}, before the watermark {START_US}"):
            store.lookup_many(c.USER_ID, np.array([1]), at_us=np.array([START_US - 2]))
        with pytest.raises(InputError, match="'item_id', only of \\['user_id'\\]"):
            store.lookup(c.ITEM_ID, 1, at_us=START_US)


def test_other_features_are_refused_to_readers_and_writers(redis_url):
    with RedisStore(redis_url, [COUNT]) as store:
        store.update(click(1, 0))
    longer = WindowFeature(
        name="n", entity="user_id", aggregation="count", value=None, window=timedelta(seconds=11)
    )
    with RedisStore(redis_url, [longer]) as other:
        with pytest.raises(InputError, match="'window': 11.0.* but was .*'window': 10.0"):
            other.lookup(c.USER_ID, 1, at_us=START_US)
        with pytest.raises(InputError, match="'window': 11.0.* but was .*'window': 10.0"):
            other.update(click(1, 1))


def test_stores_of_different_names_do_not_meet(redis_url):
    with RedisStore(redis_url, [COUNT]) as one, RedisStore(redis_url, [COUNT], name="b") as two:
        one.update(click(1, 0))
        two.update(click(2, 0))
        assert one.lookup(c.USER_ID, 2, at_us=START_US + 1) == {"n": 0}
        assert two.lookup(c.USER_ID, 2, at_us=START_US + 1) == {"n": 1}


def test_a_second_writer_is_refused_until_the_first_one_closes(redis_url):
    with RedisStore(redis_url, [COUNT]) as second:
        with RedisStore(redis_url, [COUNT]) as first:
            first.update(click(1, 0))
            with pytest.raises(InputError, match="'online' in Redis at 127.0.0.1:.* has a writer"):
                second.update(click(1, 1))
            assert second.lookup(c.USER_ID, 1, at_us=START_US + 2 * SECOND) == {"n": 1}
        second.update(click(1, 1))
        assert second.lookup(c.USER_ID, 1, at_us=START_US + 2 * SECOND) == {"n": 2}


def test_a_writer_that_was_silent_too_long_is_fenced_off(redis_url):
    with (
        RedisStore(redis_url, [COUNT], lock_s=0.05) as first,
        RedisStore(redis_url, [COUNT]) as second,
    ):
        first.update(click(1, 0))
        time.sleep(0.1)
        second.update(click(1, 1))
        with pytest.raises(JobError, match="was taken over by another writer after 50 ms"):
            first.update(click(1, 2))
        with pytest.raises(InputError, match="has a writer"):
            first.update(click(1, 2))
        assert second.lookup(c.USER_ID, 1, at_us=START_US + 3 * SECOND) == {"n": 2}


def test_a_writer_whose_lock_expired_goes_on_if_nobody_came(redis_url):
    with RedisStore(redis_url, [COUNT], lock_s=0.05) as store:
        store.update(click(1, 0))
        time.sleep(0.1)
        store.update(click(1, 1))
        assert store.lookup(c.USER_ID, 1, at_us=START_US + 2 * SECOND) == {"n": 2}


def test_a_writer_learns_that_another_one_came_and_went(redis_url):
    with RedisStore(redis_url, [COUNT], lock_s=0.05) as first:
        first.update(click(1, 0))
        time.sleep(0.1)
        with RedisStore(redis_url, [COUNT]) as second:
            second.update(click(1, 1))
        with pytest.raises(JobError, match="is at commit 2, but this writer made 1"):
            first.update(click(1, 2))
        first.update(click(1, 2))  # on from what the other one left
        assert first.lookup(c.USER_ID, 1, at_us=START_US + 3 * SECOND) == {"n": 3}


def test_a_lock_that_expires_while_an_update_is_made_is_ours_again(redis_url, monkeypatch):
    def slowly(*arguments, apply=OnlineState.apply, **more):
        time.sleep(0.1)
        return apply(*arguments, **more)

    monkeypatch.setattr(OnlineState, "apply", slowly)
    with RedisStore(redis_url, [COUNT], lock_s=0.05) as store:
        store.update(click(1, 0))
        store.update(click(1, 1))
        assert store.lookup(c.USER_ID, 1, at_us=START_US + 2 * SECOND) == {"n": 2}


def test_who_comes_and_goes_while_an_update_is_made_is_noticed(redis_url, monkeypatch):
    with RedisStore(redis_url, [COUNT]) as first:
        first.update(click(1, 0))

        def meanwhile(*arguments, apply=OnlineState.apply, **more):
            monkeypatch.setattr(OnlineState, "apply", apply)
            first._link.client.delete("online:writer")  # as if it had expired
            with RedisStore(redis_url, [COUNT]) as second:
                second.update(click(1, 1))
            return apply(*arguments, **more)

        monkeypatch.setattr(OnlineState, "apply", meanwhile)
        with pytest.raises(JobError, match="is at commit 2, but this writer made 1"):
            first.update(click(1, 2))
        assert first.lookup(c.USER_ID, 1, at_us=START_US + 3 * SECOND) == {"n": 2}


def before_execution(patch, store, do):
    """Have ``do(client)`` done between the looks within a transaction and its execution."""
    client = store._link.client

    def watched(*arguments, pipeline=client.pipeline):
        pipe = pipeline(*arguments)

        def late(*arguments, execute=pipe.execute):
            do(client)
            return execute(*arguments)

        pipe.execute = late
        return pipe

    patch.setattr(client, "pipeline", watched)


def test_a_lock_that_expires_within_the_transaction_is_looked_at_again(redis_url, monkeypatch):
    with RedisStore(redis_url, [COUNT]) as store:
        store.update(click(1, 0))
        before_execution(monkeypatch, store, lambda client: client.delete("online:writer"))
        store.update(click(1, 1))
        assert store.lookup(c.USER_ID, 1, at_us=START_US + 2 * SECOND) == {"n": 2}


def test_the_lock_is_looked_at_inside_the_transaction(redis_url, monkeypatch):
    with RedisStore(redis_url, [COUNT]) as store:
        store.update(click(1, 0))
        commands = store._writer._commands

        def and_lose_the_lock(*arguments):
            store._link.client.set("online:writer", "somebody else")
            return commands(*arguments)

        monkeypatch.setattr(store._writer, "_commands", and_lose_the_lock)
        with pytest.raises(JobError, match="was taken over by another writer"):
            store.update(click(1, 1))
        assert store.lookup(c.USER_ID, 1, at_us=START_US + 2 * SECOND) == {"n": 1}


def test_a_lock_that_changes_hands_within_the_transaction_stops_it(redis_url, monkeypatch):
    with RedisStore(redis_url, [COUNT]) as store:
        store.update(click(1, 0))
        with monkeypatch.context() as patch:
            before_execution(
                patch, store, lambda client: client.set("online:writer", "somebody else")
            )
            with pytest.raises(JobError, match="was taken over by another writer"):
                store.update(click(1, 1), positions={"0": 1})
        assert store.positions == {}
        assert store.lookup(c.USER_ID, 1, at_us=START_US + 2 * SECOND) == {"n": 1}


def test_redis_gone_is_said_and_back_it_goes_on(own_redis):
    address = f"127.0.0.1:{own_redis.port}"
    with RedisStore(own_redis.url, [COUNT]) as store:
        store.update(click(1, 0), positions={"0": 1})
        own_redis.stop()
        with pytest.raises(ConnectionError, match=f"Redis at {address} does not answer"):
            store.lookup(c.USER_ID, 1, at_us=START_US + SECOND)
        with pytest.raises(ConnectionError, match=f"Redis at {address} does not answer"):
            store.update(click(1, 1), positions={"0": 2})
        own_redis.start()  # empty: it kept nothing on disk
        assert store.positions == {}
        store.update(click(1, 0), positions={"0": 1})
        assert store.lookup(c.USER_ID, 1, at_us=START_US + SECOND) == {"n": 1}


def test_what_redis_lost_behind_the_writers_back_is_said(redis_url):
    with RedisStore(redis_url, [COUNT]) as store:
        store.update(click(1, 0), positions={"0": 1})
        store._link.client.flushall()
        with pytest.raises(JobError, match="is at commit 0, but this writer made 1"):
            store.update(click(1, 1), positions={"0": 2})
        assert store.positions == {}


def test_a_connection_that_breaks_in_the_transaction_is_no_takeover(own_redis, monkeypatch):
    store = RedisStore(own_redis.url, [COUNT])
    store.update(click(1, 0))
    commands = store._writer._commands

    def stopping(*arguments):
        made = commands(*arguments)
        monkeypatch.setattr(store._link.client, "pipeline", stopped_at_execute(store, own_redis))
        return made

    monkeypatch.setattr(store._writer, "_commands", stopping)
    with pytest.raises(ConnectionError, match="does not answer"):
        store.update(click(1, 1))


def stopped_at_execute(store, server):
    pipeline = store._link.client.pipeline

    def make():
        pipe = pipeline()
        execute = pipe.execute

        def late():
            server.stop()
            return execute()

        pipe.execute = late
        return pipe

    return make


def test_what_the_state_drops_is_deleted(redis_url):
    limits = {"idle_after": timedelta(seconds=10)}
    with RedisStore(redis_url, [COUNT], **limits) as store:
        for user_id in range(100):
            second = 20 * user_id
            watermark = START_US + second * SECOND
            store.update(click(user_id, second), watermark_us=watermark)
        users = list(store._link.client.scan_iter("online:user_id:*"))
        # 20 seconds on an entity is idle; they are looked for whenever a quarter more has come
        assert len(users) < 70
        assert store.lookup(c.USER_ID, 99, at_us=watermark + 1) == {"n": 1}


def test_what_cannot_be_an_address_a_name_or_a_lock_is_refused():
    with pytest.raises(InputError, match="`url` is no address of Redis"):
        RedisStore("127.0.0.1:6379", [COUNT])
    with pytest.raises(InputError, match=r"`name` must match .*, got 'a\*'"):
        RedisStore("redis://127.0.0.1:1/0", [COUNT], name="a*")
    with pytest.raises(InputError, match="`lock_s` must be positive, got 0"):
        RedisStore("redis://127.0.0.1:1/0", [COUNT], lock_s=0)


def test_popularity_is_the_same_after_each_change_of_the_writer(redis_url):
    hot = [DecayedPopularity(name="hot", half_life=timedelta(milliseconds=10))]
    state = OnlineState(hot)
    for number, second in enumerate([0, 1, 2, 3, 4, 5, 60, 61, 62, 120]):
        watermark = START_US + (second - 1) * SECOND
        with RedisStore(redis_url, hot) as writer:
            for store in (state, writer):
                store.update(click(1, second), positions={"0": number}, watermark_us=watermark)
            ours = writer.lookup(c.ITEM_ID, 6, at_us=watermark + SECOND + 1)
            theirs = state.lookup(c.ITEM_ID, 6, at_us=watermark + SECOND + 1)
            assert ours["hot"] == pytest.approx(theirs["hot"], rel=1e-9)
            assert theirs["hot"] > 0.99
