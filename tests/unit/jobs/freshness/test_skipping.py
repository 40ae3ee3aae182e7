import numpy as np
import polars as pl
import pytest

from recbench.jobs.freshness.arms import release_arm
from recbench.jobs.freshness.judge import Judge
from recbench.jobs.freshness.skipping import Skipping
from recbench.jobs.freshness.worth import worth_making
from recbench.refresh.forecast import Forecast

HOUR = 3_600_000_000


class Busy:
    """A stream in which every click is on a new item: busy days, quiet nights."""

    def __init__(self):
        came = np.tile([10] * 12 + [1] * 12, 4)
        self.known_at = np.repeat(np.arange(len(came)) * HOUR, came)
        self.item_rows = np.arange(len(self.known_at))
        self.first_known = self.known_at

    def n_known(self, at):
        return np.searchsorted(self.known_at, at)


def by_share(came, share):
    return Forecast(gain=share, low=0.0, high=1.0, cpu_s=None, n_past=0)


def test_refreshes_are_made_where_most_comes_and_fewer_than_half():
    instants = np.arange(49, 97) * HOUR

    made = worth_making(instants, Busy(), start=48 * HOUR, every=HOUR, budget=0.5, said=by_share)

    by_hour = made.reshape(2, 24)
    assert made.mean() <= 0.5
    assert by_hour[:, :12].sum() > 3 * by_hour[:, 12:].sum()


def test_the_rule_does_not_look_ahead():
    instants, now = np.arange(49, 97) * HOUR, 72 * HOUR
    other = Busy()
    past = other.known_at < now
    later = np.sort(np.random.default_rng(0).integers(now, 96 * HOUR, 500))
    other.known_at = np.concatenate([other.known_at[past], later])
    other.item_rows = np.arange(len(other.known_at)) % 100
    other.first_known = np.full(len(Busy().known_at) + 500, now)
    other.first_known[: past.sum()] = other.known_at[: past.sum()]
    other.item_rows[: past.sum()] = np.arange(past.sum())
    dials = {"start": 48 * HOUR, "every": HOUR, "budget": 0.5, "said": by_share}

    made, changed = (worth_making(instants, each, **dials) for each in (Busy(), other))

    early = instants <= now
    assert made[early].any()
    assert (made[early] == changed[early]).all()
    assert (made != changed).any()


def test_nothing_is_refreshed_where_nothing_is_to_be_gained():
    def less_with_more(came, share):
        return Forecast(gain=-share, low=-1.0, high=1.0, cpu_s=None, n_past=9)

    instants = np.arange(49, 97) * HOUR
    dials = {"start": 48 * HOUR, "every": HOUR, "budget": 0.5}

    assert not worth_making(instants, Busy(), said=less_with_more, **dials).any()


@pytest.fixture
def skipping(run, toy_log):
    return Skipping(run(toy_log, cadences=("never", "6h", "30m"))).run()


def test_it_makes_fewer_releases_and_its_forecast_meets_what_it_has_not_seen(skipping):
    table, history = skipping.table(), skipping.history()

    assert table["test"].unique(maintain_order=True).to_list() == ["all", "day 1", "day 2", "day 3"]
    days = table.filter(pl.col("test") != "all")
    table = table.filter(test="all")
    made = dict(table.select("releases", "refreshes").iter_rows())
    assert days.filter(releases="30m")["refreshes"].sum() == made["30m"]
    assert days.filter(releases="30m")["requests"].sum() == table["requests"][0]
    assert 0 < made["30m-if-worth-it"] < made["30m"]
    kept = dict(table.select("releases", "of_gain_over_never").iter_rows())
    assert kept["never"] == 0.0
    assert kept["30m"] == 1.0
    assert len(history) == made["30m"]
    assert skipping.rehearsed[0].n_events < len(skipping.done.stream)


def test_the_rule_is_found_before_the_test_and_then_frozen(skipping):
    done = skipping.done

    assert skipping.rehearsal.end <= done.start
    assert [one["budget"] for one in skipping.rule["rehearsed"]] == [0.2, 0.3, 0.4, 0.5]
    assert skipping.rule["budget"] in {0.2, 0.3, 0.4, 0.5}
    again = Skipping(done)  # from its file
    assert again.rule == skipping.rule


def test_what_it_is_judged_by_is_kept_like_every_other_arm(skipping):
    point = ("ours", release_arm(skipping.policy))
    value = Judge(skipping.done.store, ()).values(point, "ndcg").mean()

    told = skipping.table().filter(releases="30m-if-worth-it", test="all")["ndcg@5"][0]
    assert value == pytest.approx(told)
