import numpy as np
import pytest

from recbench.jobs.freshness.arms import release_arm
from recbench.jobs.freshness.judge import Judge
from recbench.jobs.freshness.skipping import Skipping, worth_making
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

    made = worth_making(instants, Busy(), start=48 * HOUR, every=HOUR, said=by_share)

    by_hour = made.reshape(2, 24)
    assert made.mean() <= 0.5
    assert by_hour[:, :12].sum() > 3 * by_hour[:, 12:].sum()


@pytest.fixture
def skipping(run, toy_log):
    return Skipping(run(toy_log, cadences=("never", "6h", "30m"))).run()


def test_it_makes_fewer_releases_and_its_forecast_meets_what_it_has_not_seen(skipping):
    table, history = skipping.table(), skipping.history()

    made = dict(table.select("releases", "refreshes").iter_rows())
    assert 0 < made["30m-if-worth-it"] < made["30m"]
    kept = dict(table.select("releases", "of_gain_over_never").iter_rows())
    assert kept["never"] == 0.0
    assert kept["30m"] == 1.0
    assert len(history) == made["30m"]
    assert skipping.rehearsed[0].n_events < len(skipping.done.stream)


def test_what_it_is_judged_by_is_kept_like_every_other_arm(skipping):
    point = ("ours", release_arm(skipping.policy))
    value = Judge(skipping.done.store, ()).values(point, "ndcg").mean()

    told = skipping.table().filter(releases="30m-if-worth-it")["ndcg@5"][0]
    assert value == pytest.approx(told)
