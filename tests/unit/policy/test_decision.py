from collections import Counter

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.policy.decision import DecisionDials, decided_list

SCORES = np.array([1.0, 3.0, 2.0, 0.0])  # the rule's order: 1, 2, 0, 3


def a_list(k=2, *, seed=0, allowed=None, **dials):
    rng = np.random.default_rng(seed)
    return decided_list(SCORES, k, DecisionDials(**dials), rng, allowed=allowed)


def test_chances_of_lists_are_those_by_which_they_come():
    """20,000 lists; each count within 4.5 standard errors of its chance."""
    dials, rng, n = DecisionDials(epsilon=0.4), np.random.default_rng(0), 20_000
    seen, chances = Counter(), {}
    for _ in range(n):
        found = decided_list(SCORES, 2, dials, rng)
        key = tuple(found.places.tolist())
        seen[key] += 1
        chances.setdefault(key, set()).add(round(float(found.propensities.prod()), 12))
    # slot one: .6 + .4 / 4 for candidate 1, .1 for the others; slot two of three that are left
    assert chances[1, 2] == {round(0.7 * (0.6 + 0.4 / 3), 12)}
    assert len(seen) == 12
    for key, (chance,) in chances.items():
        error = np.sqrt(chance * (1 - chance) / n)
        assert abs(seen[key] / n - chance) < 4.5 * error, key
    assert sum(chance for (chance,) in chances.values()) == pytest.approx(1)


def test_chance_shows_only_what_is_allowed():
    allowed, rng = np.array([False, False, True, True]), np.random.default_rng(0)
    dials, firsts = DecisionDials(epsilon=0.5), Counter()
    for _ in range(2_000):
        found = decided_list(SCORES, 1, dials, rng, allowed=allowed)
        firsts[int(found.places[0])] += 1
        chance = {1: 0.5, 2: 0.25, 3: 0.25}[int(found.places[0])]
        assert found.propensities[0] == pytest.approx(chance)
    assert set(firsts) == {1, 2, 3}  # the rule shows what it likes, chance does not show 0


def test_slots_in_which_nothing_else_could_be_shown_have_no_propensity():
    assert np.isnan(a_list(epsilon=0.0).propensities).all()
    assert np.isnan(a_list(epsilon=0.5, slots=1, first_slot=1).propensities).tolist() == [
        True,
        False,
    ]
    whole = a_list(4, epsilon=1.0)
    assert np.isnan(whole.propensities).tolist() == [False, False, False, True]  # one is left
    nothing = a_list(epsilon=0.5, allowed=np.zeros(4, dtype=np.bool_))
    assert np.isnan(nothing.propensities).all()
    assert nothing.places.tolist() == [1, 2]
    only_best = a_list(1, epsilon=0.5, allowed=np.array([False, True, False, False]))
    assert np.isnan(only_best.propensities).all()


def test_strayed_slots_are_those_in_which_chance_differed_from_the_rule():
    rng, n_strayed = np.random.default_rng(0), 0
    for _ in range(4_000):
        found = decided_list(SCORES, 1, DecisionDials(epsilon=0.4), rng)
        assert found.n_strayed == (found.places[0] != 1)
        n_strayed += found.n_strayed
    assert abs(n_strayed / 4_000 - 0.3) < 4.5 * np.sqrt(0.3 * 0.7 / 4_000)


def test_list_is_as_long_as_there_are_candidates():
    assert a_list(9).places.tolist()[:1] == [1]
    assert len(a_list(9).places) == 4


@pytest.mark.parametrize(
    ("dials", "told"),
    [
        ({"rule": "luck"}, "greedy, ucb, thompson, got 'luck'"),
        ({"epsilon": 1.1}, r"`epsilon` must lie in \[0, 1\], got 1.1"),
        ({"traffic": -0.5}, "`traffic` must lie"),
        ({"at_most": float("nan")}, "`at_most` must lie"),
        ({"candidates": 1}, "`candidates` must be at least 2, got 1"),
        ({"scale": -1.0}, "`scale` must be at least 0, got -1.0"),
        ({"least_events": -1}, "`least_events` must not be negative, got -1"),
    ],
)
def test_budget_that_cannot_be_kept_is_refused(dials, told):
    with pytest.raises(InputError, match=told):
        DecisionDials(**dials)
