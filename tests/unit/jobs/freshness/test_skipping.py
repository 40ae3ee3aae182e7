import numpy as np
import pytest

from recbench.jobs.freshness.arms import release_arm
from recbench.jobs.freshness.judge import Judge
from recbench.jobs.freshness.skipping import Skipping, worth_making
from recbench.refresh.forecast import Forecast

HOUR = 3_600_000_000


class Known:
    """A stream of which only the number of known clicks matters."""

    def __init__(self, by_hour):
        self.by_hour = np.array(by_hour)

    def n_known(self, at):
        return self.by_hour[np.asarray(at) // HOUR]


def by_share(came, share):
    return Forecast(gain=share, low=0.0, high=1.0, cpu_s=None, n_past=0)


def test_a_refresh_waits_until_enough_has_come():
    # shares of the log since the last release: 1/101, 2/102 | 8/110, then 10/120, then 1/121
    stream = Known([100, 101, 102, 110, 120, 121])
    instants = np.arange(1, 6) * HOUR

    made = worth_making(instants, stream, start=0, least=0.05, said=by_share)

    assert made.tolist() == [False, False, True, True, False]


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
