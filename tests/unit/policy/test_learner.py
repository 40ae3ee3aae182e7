import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy.reward import Reward
from recbench.policy.learner import Learner
from recbench.policy.snapshot import Snapshot, write_snapshot

MINUTE = 60_000_000


def context(shown):
    item = shown["item_id"].to_numpy()
    return np.stack([np.ones(len(item)), item % 2, shown["position"].to_numpy()], axis=1)


def a_learner():
    return Learner(3, context, window_us=10 * MINUTE, reward=Reward())


def a_stream(n=300, seed=0):
    """Two partitions of requests for two items, clicks some minutes after."""
    rng = np.random.default_rng(seed)
    rows = []
    for request in range(n):
        at = request * MINUTE
        for position, item in enumerate(rng.permutation(5)[:2].tolist()):
            rows.append((request, item, at, False, position))
            if rng.random() < 0.3:
                rows.append((request, item, at + int(rng.integers(0, 15)) * MINUTE, True, None))
    rows.sort(key=lambda row: row[2])
    frame = pl.DataFrame(
        rows,
        schema={
            "request_id": pl.Int64,
            "item_id": pl.Int64,
            "ts": pl.Int64,
            "clicked": pl.Boolean,
            "position": pl.Int16,
        },
        orient="row",
    )
    partition = (pl.col("request_id") % 2).cast(pl.Int32)
    return frame.with_columns(
        pl.col("ts").cast(pl.Datetime("us", "UTC")),
        partition.alias("kafka_partition"),
        pl.int_range(pl.len()).over(partition).alias("kafka_offset"),
    )


def an_hour_later(rows):
    """One more row a partition, of no request, so that all windows are over."""
    return rows.tail(2).with_columns(
        pl.col("ts") + pl.duration(hours=1),
        pl.col("kafka_offset") + 1_000,
        pl.lit(None, pl.Int64).alias("request_id"),
        kafka_partition=pl.Series([0, 1], dtype=pl.Int32),
    )


def same(one, other):
    assert one.statistics.gram == pytest.approx(other.statistics.gram)
    assert one.statistics.moment == pytest.approx(other.statistics.moment)
    assert one.statistics.n_events == other.statistics.n_events
    assert one.offsets == other.offsets
    assert len(one.pending) == len(other.pending)


def test_statistics_are_those_of_exposures_with_their_clicks():
    rows, learner = a_stream(), a_learner()
    learner.feed(rows)
    shown = rows.filter(pl.col("position").is_not_null())
    clicks = rows.filter("clicked").select("request_id", "item_id", pl.col("ts").alias("at"))
    both = shown.join(clicks, on=["request_id", "item_id"], how="left")
    in_time = (pl.col("at") - pl.col("ts") <= pl.duration(minutes=10)).fill_null(False)
    # some wait: rows of another request may still come within their windows
    assert 0 < learner.statistics.n_events < len(shown)
    learner.feed(an_hour_later(rows))
    assert learner.statistics.n_events == len(shown)
    expected = both.select(in_time.sum()).item()
    assert learner.statistics.reward_sum == expected
    assert learner.pending.n_late == len(clicks) - expected


def test_small_and_large_reads_give_the_same_sums():
    rows = a_stream()
    one, other = a_learner(), a_learner()
    for start in range(0, len(rows), 7):
        one.feed(rows[start : start + 7])
    for start in range(0, len(rows), 40):
        other.feed(rows[start : start + 40])
    for learner in (one, other):  # whatever is left waits for one more row
        learner.feed(an_hour_later(rows))
    same(one, other)


def test_rows_that_come_again_count_once():
    rows = a_stream()
    once, twice = a_learner(), a_learner()
    for start in range(0, len(rows), 50):
        part = rows[start : start + 50]
        assert once.feed(part) == len(part)
        twice.feed(part)
        assert twice.feed(rows[max(0, start - 20) : start + 50]) == 0
    same(once, twice)


def test_learner_that_is_taken_up_again_goes_on_as_if_nothing_had_been(tmp_path):
    rows, path = a_stream(), tmp_path / "learner.safetensors"
    whole, first = a_learner(), a_learner()
    for start in range(0, len(rows), 25):
        whole.feed(rows[start : start + 25])
        if start <= 400:
            first.feed(rows[start : start + 25])
    first.save(path)
    again = a_learner()
    again.restore(path)
    for start in range(0, len(rows), 25):  # from the beginning: what was read is passed over
        again.feed(rows[start : start + 25])
    same(whole, again)


def test_snapshot_that_is_none_or_of_other_features_is_refused(tmp_path):
    path = tmp_path / "learner.safetensors"
    path.write_bytes(b"no snapshot")
    with pytest.raises(InputError, match="is no snapshot of a learner"):
        a_learner().restore(path)
    with pytest.raises(InputError, match="is no snapshot of a learner"):
        a_learner().restore(tmp_path / "nowhere")
    a_learner().save(path)
    other = Learner(4, context, window_us=MINUTE, reward=Reward())
    with pytest.raises(InputError, match="has 3 features, this learner 4"):
        other.restore(path)


def test_rows_without_offsets_and_features_of_another_shape_are_refused():
    rows = a_stream(10)
    with pytest.raises(InputError, match=r"need the columns \['kafka_offset'\]"):
        a_learner().feed(rows.drop("kafka_offset"))
    other = Learner(4, context, window_us=MINUTE, reward=Reward())
    with pytest.raises(InputError, match=r"4\), got \("):
        other.feed(rows)


def test_exposures_without_a_context_are_counted_and_left_out():
    def some_known(shown):
        features = context(shown).astype(np.float64)
        features[shown["item_id"].to_numpy() == 2] = np.nan
        return features

    rows = a_stream(60)
    learner = Learner(None, some_known, window_us=10 * MINUTE, reward=Reward())
    learner.feed(rows)
    learner.feed(an_hour_later(rows))
    shown = rows.filter(pl.col("position").is_not_null())
    n_unknown = len(shown.filter(item_id=2))
    assert learner.n_without_context == n_unknown > 0
    assert learner.statistics.n_events == len(shown) - n_unknown
    assert any(f"{n_unknown} exposures had no context" in one for one in learner.warnings())


def test_rewards_that_never_come_are_told():
    rows = a_stream(600).filter(pl.col("position").is_not_null())
    learner = a_learner()
    learner.feed(rows[:400])
    assert learner.warnings() == []
    learner.feed(rows[400:])
    learner.feed(an_hour_later(rows))
    (warning,) = learner.warnings()
    assert "No reward came for any of 1200 decisions" in warning


def test_actions_of_another_topic_may_be_read_first():
    rows, learner = a_stream(100), a_learner()
    learner.expect(["shown[0]", "shown[1]", "acts[0]", "acts[1]"])
    is_shown = pl.col("position").is_not_null()
    acts, shown = rows.filter(~is_shown), rows.filter(is_shown)
    learner.feed(acts, source="acts")
    assert learner.watermark_us is None  # nothing is known of the exposures' topic
    learner.feed(shown, source="shown")
    whole = a_learner()
    whole.feed(rows)
    for one, source in ((learner, "shown"), (learner, "acts"), (whole, "")):
        one.feed(an_hour_later(rows), source=source)
    assert learner.statistics.gram == pytest.approx(whole.statistics.gram)
    assert learner.statistics.reward_sum == whole.statistics.reward_sum
    assert learner.pending.n_late == whole.pending.n_late


def test_partition_that_is_idle_does_not_hold_the_others_back():
    rows, learner = a_stream(50), a_learner()
    learner.expect(["[0]", "[1]", "[2]"])
    learner.feed(rows)
    assert learner.watermark_us is None
    learner.idle = {"[2]"}
    latest = rows.group_by("kafka_partition").agg(pl.col("ts").dt.epoch("us").max())["ts"]
    assert learner.watermark_us == latest.min()
    learner.idle = {"[0]", "[1]", "[2]"}  # the whole stream is
    assert learner.watermark_us == latest.max()


def test_snapshot_of_another_window_or_reward_is_not_added_to(tmp_path):
    path = tmp_path / "learner.safetensors"
    a_learner().save(path)
    other = Learner(3, context, window_us=MINUTE, reward=Reward())
    with pytest.raises(InputError, match="`window_us` 600000000, got 60000000"):
        other.restore(path)
    other = Learner(3, context, window_us=10 * MINUTE, reward=Reward(watch_share=0.5))
    with pytest.raises(InputError, match="`watch_share` 0.0, got 0.5"):
        other.restore(path)
    other = Learner(3, context, window_us=10 * MINUTE, reward=Reward(), half_life_events=2_000)
    with pytest.raises(InputError, match="`half_life_events` None, got 2000"):
        other.restore(path)


def test_learner_that_forgets_goes_on_forgetting(tmp_path):
    path = tmp_path / "learner.safetensors"
    options = {"window_us": 10 * MINUTE, "reward": Reward(), "half_life_events": 200}
    whole, rows = Learner(3, context, **options), a_stream()
    for start in range(0, len(rows), 50):
        whole.feed(rows[start : start + 50])
    whole.feed(an_hour_later(rows))
    n_shown = len(rows.filter(pl.col("position").is_not_null()))
    assert whole.statistics.n_events < 0.6 * n_shown
    whole.save(path)
    again = Learner(3, context, **options)
    again.restore(path)
    assert again.beliefs.half_life == 200
    same(again, whole)


def test_contexts_of_a_rebuilt_release_are_learnt_apart_and_rates_go_on(tmp_path):
    """Requests 0 to 149 are of one fit, then the service swaps to another, then it rolls back."""
    request = pl.col("request_id")
    named = pl.when(request < 150).then(pl.lit("first")).otherwise(pl.lit("second"))
    rows = a_stream().with_columns(
        pl.when(request < 280).then(named).otherwise(pl.lit("first")).alias("towers")
    )
    learner, path = a_learner(), tmp_path / "learner.safetensors"
    for start in range(0, len(rows), 40):
        learner.feed(rows[start : start + 40])
        learner.save(path)
        again = a_learner()
        again.restore(path)
        learner = again
    learner.feed(an_hour_later(rows))
    shown = rows.filter(pl.col("position").is_not_null())
    expected = shown["towers"].value_counts().sort("towers")["count"].to_list()
    told = {one["towers"]: one["n_events"] for one in learner.told()["beliefs"]}
    assert told == dict(zip(["first", "second"], expected, strict=True))
    assert learner.statistics.n_events == told["first"]  # what came last
    assert len(learner.counts.item_ids) == 5
    learner.save(path)
    second = Snapshot.read(path, towers="second")
    assert (second.towers, second.n_events) == ("second", told["second"])
    assert Snapshot.read(path, towers="third").towers == "first"  # there is none: the latest
    a_learner().save(path)
    assert Snapshot.read(path).n_events == 0


def test_snapshot_of_the_format_before_is_refused(tmp_path):
    path = tmp_path / "learner.safetensors"
    write_snapshot(path, {"format": 1}, {"items": {}})
    with pytest.raises(InputError, match="of format 1, this reads 2: begin a new one"):
        a_learner().restore(path)
