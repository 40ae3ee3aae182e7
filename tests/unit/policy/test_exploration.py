import numpy as np
import pytest

from recbench.errors import InputError
from recbench.policy.exploration import ExplorationBudget, explored, left_to_chance

SCORES = np.linspace(5, 1, 12)
BUDGET = ExplorationBudget(traffic_frac=1.0, slots=2, first_slot=1, pool=6, even=0.3)


def test_rule_fills_its_slots_in_order_and_chance_the_others():
    found = explored(SCORES, 5, BUDGET, np.random.default_rng(0))
    assert found.places[[0, 3, 4]].tolist() == [0, 1, 2]
    assert set(found.places[[1, 2]].tolist()) <= set(range(3, 9))
    assert np.isnan(found.propensities[[0, 3, 4]]).all()
    assert np.isnan(found.slot_propensities[[0, 3, 4]]).all()
    assert (found.propensities[[1, 2]] >= BUDGET.least_propensity).all()
    assert len(set(found.places.tolist())) == 5


def test_logged_chances_are_what_many_lists_show():
    """Inverse propensities of what is shown in a slot of chance sum to the size of the pool."""
    rng, n = np.random.default_rng(1), 5_000
    inverse, by_slot = np.empty((n, 2)), np.empty((n, 2))
    shown = np.zeros((2, 12))
    for at in range(n):
        found = explored(SCORES, 5, BUDGET, rng)
        inverse[at], by_slot[at] = 1 / found.propensities[1:3], 1 / found.slot_propensities[1:3]
        shown[0, found.places[1]] += 1
        shown[1, found.places[2]] += 1
    # six items may stand in slot one; given it, five in slot two; whatever it, six again
    for values, expected in ((inverse, (6, 5)), (by_slot, (6, 6))):
        error = 4.5 * values.std(axis=0) / np.sqrt(n)
        assert np.all(np.abs(values.mean(axis=0) - expected) < error)
    assert shown[:, :3].sum() == 0
    assert shown[:, 9:].sum() == 0


def test_drawn_items_keep_to_what_is_allowed_and_the_rule_to_its_order():
    allowed = np.arange(12) % 2 == 0
    for seed in range(50):
        found = explored(SCORES, 5, BUDGET, np.random.default_rng(seed), allowed=allowed)
        assert set(found.places[[1, 2]].tolist()) <= {4, 6, 8}
        assert found.places[[0, 3, 4]].tolist() == [0, 1, 2]


def test_pool_without_a_choice_leaves_the_slots_to_the_rule():
    rng = np.random.default_rng(0)
    for scores in (SCORES[:5], SCORES[:3], SCORES[:0]):
        found = explored(scores, 5, BUDGET, rng)
        drawn = ~np.isnan(found.propensities)
        assert sorted(found.places.tolist()) == list(range(len(scores)))
        assert (found.propensities[drawn] < 1).all()
    only_one = np.zeros(12, dtype=bool)
    only_one[7] = True
    found = explored(SCORES, 5, BUDGET, rng, allowed=only_one)
    assert found.places.tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(found.propensities).all()


def test_list_shorter_than_the_first_slot_of_chance_is_the_rules():
    found = explored(SCORES, 1, BUDGET, np.random.default_rng(0))
    assert found.places.tolist() == [0]
    assert np.isnan(found.propensities).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"traffic_frac": 1.5}, r"`traffic_frac` must lie in \[0, 1\], got 1.5"),
        ({"slots": 0}, "`slots` must be at least 1, got 0"),
        ({"first_slot": -1}, "`first_slot` must be at least 0, got -1"),
        ({"slots": 6}, "`pool` must be larger than `slots` 6, got 6"),
        ({"even": -1}, r"`even` must lie in \[0, 1\], got -1"),
    ],
)
def test_budget_that_cannot_be_kept_is_refused(changed, message):
    dials = {"traffic_frac": 0.1, "slots": 2, "pool": 6, **changed}
    with pytest.raises(InputError, match=message):
        ExplorationBudget(**dials)


def test_chances_told_beforehand_are_those_that_are_logged():
    left = left_to_chance(SCORES, 5, BUDGET)
    assert left.slots.tolist() == [1, 2]
    assert left.places.tolist() == [3, 4, 5, 6, 7, 8]
    assert left.chances.sum(axis=0) == pytest.approx([1.0, 1.0])
    for seed in range(20):
        found = explored(SCORES, 5, BUDGET, np.random.default_rng(seed))
        at = np.searchsorted(left.places, found.places[1:3])
        assert found.slot_propensities[1:3] == pytest.approx(left.chances[at, [0, 1]])


def test_nothing_is_told_to_be_drawn_where_the_rule_decides():
    left = left_to_chance(SCORES[:5], 5, BUDGET)
    assert len(left.slots) == len(left.places) == 0
    assert left.chances.shape == (0, 0)


def test_a_budget_is_read_as_people_write_it():
    written = ExplorationBudget.of("slots=2, first_slot=0,even=0.5")
    assert written == ExplorationBudget(traffic_frac=0.1, slots=2, first_slot=0, even=0.5)
    assert ExplorationBudget.of("traffic=1").traffic_frac == 1


@pytest.mark.parametrize("words", ["slot=2", "slots=two", "slots", "slots=1.5", ""])
def test_what_is_no_budget_is_refused_by_its_word(words):
    with pytest.raises(InputError, match=f"NAME=NUMBER of traffic, slots.*got '{words}'"):
        ExplorationBudget.of(words)
