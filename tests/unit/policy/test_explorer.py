import numpy as np
import pytest

from recbench.policy.exploration import ExplorationBudget
from recbench.policy.explorer import Explorer


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def an_explorer(traffic_frac, **more):
    budget = ExplorationBudget(traffic_frac=traffic_frac, pool=5)
    return Explorer(budget, rng=np.random.default_rng(0), **more)


def test_share_of_requests_is_kept():
    explorer, n = an_explorer(0.2), 20_000
    taken = sum(explorer.takes() for _ in range(n))
    assert abs(taken / n - 0.2) < 4 * np.sqrt(0.16 / n)
    assert not any(an_explorer(0.0).takes() for _ in range(1_000))


def test_switch_ends_exploration_and_its_removal_lets_it_go_on(tmp_path):
    switch, clock = tmp_path / "off", Clock()
    explorer = an_explorer(1.0, off_switch=switch, clock=clock)
    assert explorer.takes()
    switch.touch()
    clock.now = 1.0
    assert not explorer.takes()
    switch.unlink()
    assert not explorer.takes()  # looked at twice a second only
    clock.now = 2.0
    assert explorer.takes()


def test_list_is_drawn_within_the_budget():
    found = an_explorer(1.0).list_of(np.linspace(1, 0, 9), 3)
    assert np.isnan(found.propensities).tolist() == [True, False, True]
    assert found.propensities[1] == pytest.approx(found.slot_propensities[1])
