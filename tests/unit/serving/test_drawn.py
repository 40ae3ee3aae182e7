"""Lists of which chance fills slots, of the toy release."""

import dataclasses

import numpy as np
import pytest

from recbench.policy.exploration import ExplorationBudget
from recbench.policy.explorer import Explorer
from recbench.serving.answer import answer_list
from recbench.serving.drawn import drawn, widened
from recbench.serving.requests import AskedList
from recbench.serving.served_release import ServedRelease

BUDGET = ExplorationBudget(traffic_frac=1.0, slots=1, first_slot=0, pool=3, even=0.3)


@pytest.fixture
def served(seal_toy):
    return ServedRelease.load(seal_toy().release)


def an_explorer(budget=BUDGET, **more):
    return Explorer(budget, rng=np.random.default_rng(0), **more)


def test_request_is_widened_only_where_chance_has_a_part():
    asked = AskedList(k=2)
    assert widened(asked, None) is asked
    assert widened(asked, an_explorer(dataclasses.replace(BUDGET, traffic_frac=0))) is asked
    wide = widened(asked, an_explorer())
    assert (wide.k, wide.drawn_k) == (5, 2)


def test_slots_of_chance_have_propensities_and_those_of_the_rule_none(served):
    explorer = an_explorer()
    wide = widened(AskedList(user_id=99, k=2, exclude_items=np.array([40])), explorer)
    by_rule = answer_list(served, AskedList(user_id=99, k=1, exclude_items=np.array([40])), None)
    shown = set()
    for _ in range(30):
        answer = drawn(answer_list(served, wide, None), 2, explorer)
        assert answer.chances is not None
        assert answer.chances.propensities[1] is None
        assert answer.chances.slot_propensities[1] is None
        assert 0.1 <= answer.chances.propensities[0] < 1
        assert answer.chances.least == pytest.approx(0.1)
        assert answer.item_ids[1] == by_rule.item_ids[0]  # the best is the rule's
        assert len(answer.scores) == 2
        shown.add(answer.item_ids[0])
    assert shown == {10, 20}  # what a client leaves out is not drawn either


def test_fallback_and_a_switch_that_went_off_meanwhile_are_the_rules(served, tmp_path):
    wide = widened(AskedList(user_id=99, k=2), an_explorer())
    answer = answer_list(served, wide, None)
    fallback = drawn(dataclasses.replace(answer, fallback="popularity"), 2, an_explorer())
    switch = tmp_path / "off"
    switch.touch()
    off = drawn(answer, 2, an_explorer(off_switch=switch))
    for rule in (fallback, off):
        assert rule.chances is None
        assert rule.item_ids == answer.item_ids[:2]
        assert len(rule.scores) == 2


def test_pool_without_a_choice_is_the_rules(served):
    explorer = an_explorer()
    wide = widened(AskedList(user_id=99, k=2, exclude_items=np.array([10, 20, 40])), explorer)
    answer = drawn(answer_list(served, wide, None), 2, explorer)
    assert answer.item_ids == [30]
    assert answer.chances is None
