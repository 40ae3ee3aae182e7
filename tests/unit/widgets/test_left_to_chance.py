"""Which slots chance fills, worked out by hand on the toy release of `served_toy.py`."""

import numpy as np
import pytest

from recbench.policy.exploration import ExplorationBudget
from recbench.refresh import Registry
from recbench.serving import ReleasedRecommender
from recbench.widgets.asked import Asked
from recbench.widgets.left_to_chance import by_chance
from recbench.widgets.recommendations import explained


@pytest.fixture
def asked(tmp_path, served_toy):
    """Nobody known: popularity .5, .25, 2, 1 lists 30, 40, 10, 20."""
    toy = served_toy.seal(Registry(tmp_path / "registry"))
    return Asked.by_user(ReleasedRecommender.load(toy.release), 99)


def test_the_rule_keeps_its_slots_and_chance_has_the_rest_of_the_list(asked):
    budget = ExplorationBudget(traffic_frac=0.005, pool=2, even=0.5)
    left = by_chance(asked, budget, k=3)
    # the rule has 30 and 40; 10 and 20 may stand between them, softmax of .5 and .25
    high = 0.5 / (1 + np.exp(-0.25)) + 0.25
    assert left.slots.select("slot", "filled by", "item_id", "may stand there").rows() == [
        (1, "rule", 30, 1),
        (2, "chance", None, 2),
        (3, "rule", 40, 1),
    ]
    lowest, highest = left.slots["least propensity"], left.slots["largest propensity"]
    assert lowest.to_list() == [None, pytest.approx(1 - high), None]
    assert highest.to_list() == [None, pytest.approx(high), None]
    assert left.candidates["item_id"].to_list() == [10, 20]
    assert left.candidates["in slot 2"].to_list() == pytest.approx([high, 1 - high])
    assert left.finding.startswith("In 0.5 % of requests chance fills slot 2 from 2 items")


def test_the_first_slots_may_be_left_to_chance(asked):
    budget = ExplorationBudget(traffic_frac=1.0, slots=2, first_slot=0, pool=3)
    left = by_chance(asked, budget, k=3)
    assert left.slots["filled by"].to_list() == ["chance", "chance", "rule"]
    assert left.slots["item_id"].to_list() == [None, None, 30]
    assert left.candidates.select("in slot 1", "in slot 2").sum().row(0) == pytest.approx((1, 1))
    assert "slots 1 and 2" in left.finding


def test_a_list_of_the_whole_catalogue_is_the_rules(asked):
    left = by_chance(asked, ExplorationBudget(traffic_frac=1.0), k=4)
    assert left.slots["item_id"].to_list() == explained(asked, k=4)["item_id"].to_list()
    assert left.slots["least propensity"].to_list() == [None] * 4
    assert "Nothing is left to chance here" in left.finding
    assert len(left.candidates) == 0
