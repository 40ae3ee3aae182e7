"""The whole experiment on small logs: nothing leaks, and outsiders find the same figures."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.errors import InputError
from recbench.jobs.freshness import FreshnessPlan
from recbench.jobs.freshness.arms import release_arm
from recbench.jobs.freshness.plan import MODELS, SLOW
from recbench.jobs.freshness.releasing import Releasing
from recbench.jobs.freshness.results import Results
from recbench.refresh.cadence import EVENT, NEVER, Cadence, Cost

HOUR_US = 3_600_000_000
FAST = [name for name in MODELS if name not in SLOW]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("protocol", ["next_in_session", "masked", "next_basket"])
def test_an_independent_evaluator_finds_every_point_of_the_table(
    run, protocol, session_log, naive_figures
):
    log = session_log(protocol=protocol)
    done = run(log)

    table = Results(done).arms()

    assert len(table) == len(done.plan.arms) * len(done.models)
    start, end = (EPOCH + timedelta(microseconds=at) for at in (done.start, done.end))
    for row in table.iter_rows(named=True):
        recs = done.folder / "recs" / f"{row['model']}.{row['arm']}.parquet"
        naive = naive_figures(log.events, recs, protocol=protocol, start=start, end=end)
        assert naive["n"] == len(done.asked)
        for metric in ("hit", "ndcg", "mrr"):
            assert row[f"{metric}@5"] == pytest.approx(naive[metric], abs=1e-12)


def lists_before(done, at):
    """Every list of an instant before ``at``, by file."""
    return {
        place.name: pl.read_parquet(place).filter(pl.col(c.TS) < at)
        for place in sorted((done.folder / "recs").glob("*.parquet"))
    }


@pytest.mark.parametrize("seed", range(2))
def test_who_shuffles_the_future_changes_nothing_that_was_shown_before(
    run, seed, session_events, session_log
):
    events = session_events(seed)
    rng = np.random.default_rng(seed)
    now = events[c.TS][int(rng.integers(500, 850))]
    past, future = events.filter(pl.col(c.TS) < now), events.filter(pl.col(c.TS) >= now)
    shuffled = future.with_columns(
        pl.Series(name, rng.permutation(future[name].to_numpy())) for name in (c.USER_ID, c.ITEM_ID)
    )
    log = session_log(events, protocol="next_basket")
    other = session_log(pl.concat([past, shuffled]), protocol="next_basket")
    assert not log.events.equals(other.events)

    before, after = (lists_before(run(each, models=FAST), now) for each in (log, other))

    assert sum(len(lists) for lists in before.values()) > 1000
    for name, lists in before.items():
        assert lists.equals(after[name]), name


def test_events_of_one_instant_do_not_inform_each_other(run, session_events, session_log):
    events = session_events()
    rows = events.with_row_index("row")[500:]
    together = rows.filter(pl.col(c.USER_ID).n_unique().over(c.TS) > 1)
    first, at = int(together["row"][0]), together[c.TS][0]
    item = events[c.ITEM_ID].to_numpy().copy()
    item[first] = item[0]
    assert item[first] != events[c.ITEM_ID][first]
    other = events.with_columns(pl.Series(c.ITEM_ID, item))

    lists, changed = (
        lists_before(run(session_log(each, protocol="next_basket")), at + timedelta(microseconds=1))
        for each in (events, other)
    )

    for name in lists:
        assert lists[name].equals(changed[name])


def test_a_release_serves_from_its_watermark_plus_the_time_it_took(run, toy_log):
    def slow(make):
        return make(), Cost(wall_s=1800.0, cpu_s=1.0)

    done = run(toy_log, stopwatch=slow)
    track = done.weights("ours", Cadence.of("1h"))

    late = (track.served_from - track.watermarks)[1:]
    assert (late == HOUR_US // 2).all()
    lag = done.asked.ts - track.known_before(done.asked.ts)
    assert lag[done.asked.ts >= track.served_from[1]].min() >= HOUR_US // 2


def test_the_time_of_a_release_has_its_files_and_publishing_in_it(run, toy_log, tmp_path):
    seen = []

    def watched(make):
        before = {*tmp_path.glob("real/.registry-*/2*")}
        made = make()
        for release in {*tmp_path.glob("real/.registry-*/2*")} - before:
            pointer = json.loads((release.parent / "current").read_text())
            seen.append((pointer["release"] == release.name, {p.name for p in release.iterdir()}))
        return made, Cost(wall_s=1.0)

    done = run(
        toy_log, models=("ours",), folder=tmp_path / "real", stopwatch=watched, making=Releasing
    )

    assert len(seen) > len(done.weights("ours", Cadence.of("1h")).releases)
    assert all(each == (True, {"manifest.json", "state.safetensors"}) for each in seen)
    assert not [*tmp_path.glob("real/.registry-*")]


def test_what_takes_longer_than_its_cadence_queues_and_is_called_unsustainable(run, toy_log):
    def slow(make):
        return make(), Cost(wall_s=1.5 * 3600.0, cpu_s=1.0)

    results = Results(run(toy_log, stopwatch=slow))
    table = results.curve().filter(model="ours")

    assert dict(table.select("cadence", "sustainable").iter_rows()) == {
        "never": True,
        "6h": True,
        "1h": False,
    }
    waited = results.lags().filter(dial="weights", of="ours", cadence="1h")["waited_s"][0]
    assert waited > 3600
    assert results.recommended().cadence != "1h"


def test_without_any_lag_an_arm_is_called_ideal(run, toy_log):
    table = Results(run(toy_log)).arms()

    ideal = table.filter("ideal")
    assert set(ideal["history"]) == {"event (ideal)"}
    assert not table.filter(~pl.col("ideal"))["history"].str.contains("ideal").any()


def test_what_was_done_is_not_done_again(run, toy_log, tmp_path, one_second):
    calls = []

    def counted(make):
        calls.append(1)
        return one_second(make)

    folder = tmp_path / "kept"
    done = run(toy_log, stopwatch=counted, folder=folder)
    n, first = len(calls), Results(done).arms()
    broken = done.store._releases("counters", "weights", Cadence.of("1h"))
    broken.unlink()  # as if it had been stopped before the last part ended

    again = run(toy_log, stopwatch=counted, folder=folder)

    assert 0 < len(calls) - n < n / 2
    assert Results(again).arms().equals(first)


def test_a_folder_of_another_experiment_is_refused(run, toy_log, tmp_path):
    run(toy_log, folder=tmp_path / "kept")

    with pytest.raises(InputError, match="kept holds an experiment with another log"):
        run(toy_log, folder=tmp_path / "kept", k=6)


def test_empty_windows_are_skipped_and_counted(run, session_events, session_log, begun):
    events = session_events().filter(
        ~pl.col(c.TS).is_between(begun + timedelta(hours=20), begun + timedelta(hours=24))
    )
    track = run(session_log(events)).weights("ours", Cadence.of("1h"))

    assert track.n_empty in {3, 4}
    hours = np.diff(track.watermarks) // HOUR_US
    assert hours.max() == track.n_empty + 1


def test_no_arm_takes_more_refreshes_than_it_may(run, toy_log):
    done = run(toy_log, cadences=("never", "3h", "15m"), most_refreshes=25)

    assert len(done.weights("ours", Cadence.of("15m")).counted) <= 25
    assert all(start < end for start, end in done.within)
    inside = np.zeros(len(done.asked), dtype=bool)
    for start, end in done.within:
        inside |= (done.asked.ts >= start) & (done.asked.ts < end)
    assert inside.all()


def test_the_shares_of_the_dials_add_up_to_the_whole_gain(run, toy_log):
    results = Results(run(toy_log, factorials=("6h-1h", "6h-event")))

    for gain in results.shares().partition_by("gain"):
        parts, whole = gain.filter(pl.col("dial") != "all"), gain.filter(dial="all")
        assert parts["value"].sum() == pytest.approx(whole["value"][0], abs=1e-12)
    arms = {row["arm"]: row["ndcg@5"] for row in results.arms().filter(model="ours").to_dicts()}
    ends = [arms[f"h-{c}_s-{c}_w-{c}_i-{c}"] for c in ("6h", "1h")]
    whole = results.shares().filter(gain="6h to 1h", dial="all")["value"][0]
    assert whole == pytest.approx(ends[1] - ends[0], abs=1e-12)


def test_histories_at_every_event_are_at_least_as_old_as_the_request(run, toy_log):
    scene = run(toy_log).scene

    ideal = scene.tracks["history", EVENT].known_before(scene.asked.ts)
    assert (ideal == scene.asked.ts).all()
    hourly = scene.tracks["history", Cadence.of("1h")].known_before(scene.asked.ts)
    assert (hourly <= scene.asked.ts).all()
    assert (hourly < scene.asked.ts).mean() > 0.9


def test_what_was_shown_together_is_ranked_within(run, session_events, session_log):
    events = session_events().with_columns((pl.int_range(pl.len()) // 3).alias(c.REQUEST_ID))
    events = events.with_columns(
        pl.col(c.TS).first().over(c.REQUEST_ID),
        pl.col(c.USER_ID).first().over(c.REQUEST_ID),
        (pl.int_range(pl.len()) % 3 == 1).alias(c.CLICKED),
    )
    done = run(session_log(events, protocol="impressions"))

    table = Results(done).arms()

    arm = release_arm(Cadence.of("1h")).name
    orders = pl.read_parquet(done.folder / "within" / f"ours.{arm}.parquet")
    clicked = done.asked.frame.select(c.EVENT_ID, c.ITEM_ID)
    ranks = clicked.join(orders, on=[c.EVENT_ID, c.ITEM_ID])[c.RANK].to_numpy()
    found = table.filter(model="ours", arm=arm)["within"][0]
    assert found == pytest.approx((1 / np.log2(1 + ranks)).mean())
    assert 1 <= ranks.min() <= ranks.max() <= 3


@pytest.mark.parametrize(
    ("change", "cadences", "said"),
    [
        (lambda e: e.reverse(), ("1h",), "must be in order of `ts`, but row 1"),
        (lambda e: e.with_columns(pl.col(c.TS).first()), ("1h",), "All 900 events happened at one"),
        (lambda e: e, ("2d",), "no more than the cadence 2d"),
        (lambda e: e.with_columns(pl.lit(False).alias(c.CLICKED)), ("1h",), "None of 900 events"),
        (lambda e: e, ("never",), "must be a length of time"),
    ],
)
def test_a_log_that_cannot_answer_is_told_why(
    run, change, cadences, said, session_events, session_log
):
    with pytest.raises(InputError, match=said):
        run(session_log(change(session_events())), cadences=cadences)


@pytest.mark.parametrize(
    ("dials", "said"),
    [
        ({"from_share": 1.0}, "between 0 and 1, got 1.0"),
        ({"models": ("ours", "magic")}, "got 'magic'"),
        ({"models": ("counters",)}, "must have 'ours'"),
        ({"k": 0}, "at least 1"),
        ({"factorials": ("1h",)}, "such as 1d-15m, got '1h'"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(dials, said):
    with pytest.raises(InputError, match=said):
        FreshnessPlan.named(cadences=("6h", "1h"), **dials)


def test_full_retrains_and_doing_nothing_stand_beside_whatever_is_asked_for():
    plan = FreshnessPlan.named(cadences=("1h",), models=("ours",))

    assert plan.models == ("ours", "itemknn", "ease")
    assert plan.curve[0] == NEVER


def test_a_user_with_a_million_events_is_walked_like_any_other(run, session_log):
    n = 1_000_000
    seconds = np.sort(np.random.default_rng(0).integers(0, 86_400, n))
    events = pl.DataFrame(
        {
            c.EVENT_ID: np.arange(n),
            c.USER_ID: np.where(np.arange(n) % 1000, 1, np.arange(n)),
            c.ITEM_ID: np.random.default_rng(1).integers(0, 50, n),
            c.TS: seconds * 1_000_000,
            c.CLICKED: np.ones(n, dtype=bool),
        }
    ).with_columns(pl.col(c.TS).cast(c.INSTANT))
    log = session_log(events, protocol="next_basket")

    done = run(log, cadences=("6h",), from_share=0.7, most_requests=200, models=("ours",))

    assert len(done.asked) == 200
    assert done.asked.left_out["not drawn"] > 200_000
