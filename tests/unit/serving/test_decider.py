"""Lists that a policy decides, of the toy release."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from recbench.evaluation.off_policy.floor import floor_price
from recbench.evaluation.off_policy.reward import Reward
from recbench.policy.decision import DecisionDials
from recbench.policy.learner import Learner
from recbench.policy.logged_context import LoggedContexts
from recbench.serving.answer import answer_list
from recbench.serving.decider import Decider
from recbench.serving.protected import FloorDial, protected_items
from recbench.serving.requests import AskedList
from recbench.serving.served_release import ServedRelease

DIM = 7 + 2 + 2  # the tower's, one and the product, the rates
DIALS = DecisionDials(rule="greedy", epsilon=0.3, candidates=4, least_events=10)
N_LISTS = 800
USER = AskedList(user_id=99, k=2)


@pytest.fixture
def served(seal_toy):
    return ServedRelease.load(seal_toy().release)


def a_decider(dials=DIALS, **more):
    return Decider(dials, rng=np.random.default_rng(0), **more)


def a_list(decider, served, asked=USER):
    wide = decider.widened(asked)
    return decider.list_of(served, wide, answer_list(served, wide, None))


def snapshot_that_likes(path, item, *, served, n=100, dim=DIM, reward=1.0):
    """Of a learner whose every showing of the item was rewarded, and of no other one."""
    learner = Learner(dim, LoggedContexts(), window_us=1, reward=Reward())
    rng = np.random.default_rng(0)
    items = rng.choice([10, 20, 30, 40], n)
    rewards = reward * (items == item)
    learner.beliefs.of(served.fit).learn(rng.normal(size=(n, dim)) * 1e-3, rewards)
    learner.counts.add(items, rewards, np.arange(n))
    learner.save(path)
    return path


def test_without_a_snapshot_the_tower_decides_and_contexts_are_logged(served, tmp_path):
    decider = a_decider(snapshot=tmp_path / "none.safetensors")
    by_tower = answer_list(served, USER, None)
    assert decider.is_stale(served)
    decider.renew(served)
    assert not decider.is_stale(served)
    found = [a_list(decider, served) for _ in range(200)]
    firsts = [answer for answer in found if answer.item_ids[0] == by_tower.item_ids[0]]
    assert abs(len(firsts) / 200 - 0.775) < 4.5 * np.sqrt(0.775 * 0.225 / 200)
    assert firsts[0].chances.propensities[0] == pytest.approx(0.775)
    assert firsts[0].chances.least == pytest.approx(0.3 / 4)
    assert len(LoggedContexts()(_frame(firsts[0].chances.contexts))) == 2


def _frame(contexts):
    return pl.DataFrame({"context": contexts})


def test_snapshot_decides_as_soon_as_it_is_there_and_goes_on_when_it_changes(served, tmp_path):
    path = tmp_path / "policy.safetensors"
    decider = a_decider(dataclasses.replace(DIALS, epsilon=0.0), snapshot=path)
    decider.renew(served)
    for item in (10, 20, 10):
        snapshot_that_likes(path, item, served=served)
        assert decider.is_stale(served)
        decider.renew(served)
        answer = a_list(decider, served)
        assert answer.item_ids[0] == item
        assert answer.chances.propensities == [None, None]  # nothing is left to chance


@pytest.mark.parametrize("rule", ["greedy", "ucb", "thompson"])
def test_every_rule_decides(served, tmp_path, rule):
    path = snapshot_that_likes(tmp_path / "policy.safetensors", 10, served=served, n=2_000)
    dials = dataclasses.replace(DIALS, rule=rule, scale=0.01, epsilon=0.0)
    decider = a_decider(dials, snapshot=path)
    decider.renew(served)
    assert a_list(decider, served).item_ids[0] == 10


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"dim": 9}, "was learnt from contexts of 9 numbers, those of release"),
        ({"n": 9}, "has learnt from 9 decisions only"),
        ({"reward": 0.0}, "no reward came for any of 100 decisions"),
    ],
)
def test_snapshot_that_cannot_be_trusted_leaves_the_order_to_the_tower(
    served, tmp_path, made, why, caplog
):
    path = snapshot_that_likes(tmp_path / "policy.safetensors", 10, served=served, **made)
    decider = a_decider(dataclasses.replace(DIALS, epsilon=0.0), snapshot=path)
    decider.renew(served)
    assert why in decider.refused
    assert "The tower decides" in caplog.text
    assert a_list(decider, served).item_ids == answer_list(served, USER, None).item_ids
    path.write_bytes(b"no snapshot")
    decider.renew(served)
    assert "is no snapshot of a learner" in decider.refused


def test_snapshot_learnt_on_other_towers_leaves_the_order_to_the_tower(served, tmp_path, caplog):
    path = snapshot_that_likes(tmp_path / "policy.safetensors", 10, served=served)
    decider = a_decider(dataclasses.replace(DIALS, epsilon=0.0), snapshot=path)
    refreshed = dataclasses.replace(served, id="refreshed")  # goes on from the same fit
    decider.renew(refreshed)
    assert decider.refused is None
    assert a_list(decider, refreshed).item_ids[0] == 10

    rebuilt = dataclasses.replace(served, id="rebuilt", fit="rebuilt")
    decider.renew(rebuilt)
    assert f"has learnt on {served.fit}, and release rebuilt has the towers" in decider.refused
    assert "The tower decides" in caplog.text
    assert a_list(decider, rebuilt).item_ids == answer_list(rebuilt, USER, None).item_ids


def test_snapshot_that_does_not_say_its_towers_decides_nothing(served, tmp_path):
    nameless = dataclasses.replace(served, fit="")
    path = snapshot_that_likes(tmp_path / "policy.safetensors", 10, served=nameless)
    decider = a_decider(snapshot=path)
    decider.renew(served)
    assert "towers that its exposures do not name" in decider.refused


def test_exposures_name_the_towers_of_their_contexts_and_what_a_floor_changed(served):
    decider = a_decider(floor=FloorDial("tail", 0.3))
    decider.renew(served)
    chances = a_list(decider, served).chances
    assert chances.towers == served.fit == served.id
    assert (chances.floor.is_kept, chances.floor.chance) == (True, 1.0)
    assert len(chances.floor.is_protected) == 2
    without = a_decider()
    without.renew(served)
    assert a_list(without, served).chances.floor is None


def test_what_a_request_is_not_shown_chance_does_not_show_either(served, tmp_path):
    path = snapshot_that_likes(tmp_path / "policy.safetensors", 10, served=served)
    asked = AskedList(user_id=99, k=2, exclude_items=np.array([10, 40]))
    decider = a_decider(
        dataclasses.replace(DIALS, epsilon=1.0), snapshot=path, floor=FloorDial("tail", 0.5)
    )
    decider.renew(served)
    for _ in range(50):
        assert set(a_list(decider, served, asked).item_ids) == {20, 30}


def test_switch_traffic_and_another_release_leave_the_list_to_the_tower(served, tmp_path):
    path = snapshot_that_likes(tmp_path / "policy.safetensors", 10, served=served)
    by_tower = answer_list(served, USER, None).item_ids
    none = a_decider(dataclasses.replace(DIALS, traffic=0.0), snapshot=path)
    assert none.widened(USER) is USER
    decider = a_decider(snapshot=path, off_switch=tmp_path / "off")
    decider.renew(served)
    other = dataclasses.replace(served, id="another")
    wide = decider.widened(USER)
    answer = decider.list_of(other, wide, answer_list(served, wide, None))
    assert (answer.item_ids, answer.chances) == (by_tower, None)
    assert decider.is_stale(other)
    (tmp_path / "off").touch()
    off = a_decider(snapshot=path, off_switch=tmp_path / "off")
    off.renew(served)
    assert off.widened(USER) is USER
    answer = off.list_of(served, wide, answer_list(served, wide, None))
    assert (answer.item_ids, answer.chances) == (by_tower, None)


def test_fallback_is_the_rules(served):
    decider = a_decider()
    decider.renew(served)
    wide = decider.widened(USER)
    made = dataclasses.replace(answer_list(served, wide, None), made=None, fallback="popularity")
    answer = decider.list_of(served, wide, made)
    assert len(answer.item_ids) == 2
    assert answer.chances is None


def test_budget_ends_exploration_before_it_is_overdrawn(served, tmp_path):
    dials = dataclasses.replace(DIALS, epsilon=1.0, at_most=0.1)
    decider = a_decider(dials)
    decider.renew(served)
    for _ in range(500):
        a_list(decider, served)
    assert decider.n_slots == 1_000
    assert 0.09 < decider.n_strayed / decider.n_slots < 0.13  # with 20 slots of credit
    assert decider.counts()["recbench_policy_strayed_total"] == decider.n_strayed


@pytest.mark.parametrize("with_policy", [True, False])
def test_floor_is_kept_and_its_price_is_measured(served, tmp_path, with_policy):
    tail = protected_items(served, "tail")
    assert served.items.ids[tail.is_protected].tolist() == [10, 20, 40]  # 30 is the most popular
    path = snapshot_that_likes(tmp_path / "policy.safetensors", 30, served=served)
    dials = dataclasses.replace(DIALS, epsilon=0.05)
    asked = AskedList(user_id=99, k=1)
    shares, given_up = [], []
    for least in (0.0, 0.6):
        decider = a_decider(
            dials, snapshot=path if with_policy else None, floor=FloorDial("tail", least)
        )
        decider.renew(served)
        lists = [a_list(decider, served, asked).item_ids[0] for _ in range(N_LISTS)]
        shares.append(
            float(np.mean([item != 30 for item in lists[N_LISTS // 2 :]]))
        )  # the price has risen by then
        given_up.append(decider.given_up)
    assert shares[0] < 0.1
    assert abs(shares[1] - 0.6) < 0.08  # the price goes up and down around the floor
    assert given_up[1] > given_up[0] >= 0
    n_protected = sum(item != 30 for item in lists)
    assert decider.counts()["recbench_floor_slots_total"] == n_protected


def test_price_of_a_floor_is_found_in_what_was_served(served, tmp_path):
    path = snapshot_that_likes(tmp_path / "policy.safetensors", 30, served=served)
    dials = dataclasses.replace(DIALS, epsilon=0.4)
    decider = a_decider(dials, snapshot=path, floor=FloorDial("tail", 0.6, free=0.25))
    decider.renew(served)
    rng, asked, rows = np.random.default_rng(0), AskedList(user_id=99, k=1), []
    for request in range(4_000):
        answer = a_list(decider, served, asked)
        item, floor = answer.item_ids[0], answer.chances.floor
        assert floor.chance == (0.75 if floor.is_kept else 0.25)
        clicked = bool(rng.random() < (0.5 if item == 30 else 0.1))
        rows.append((request, item, floor.is_kept, floor.chance, floor.is_protected[0], clicked))
    names = ["request_id", "item_id", "floor_kept", "floor_chance", "protected", "clicked"]
    found = floor_price(pl.DataFrame(rows, schema=names, orient="row"), Reward())
    # free of the floor, the rule shows 30 and chance each of the four: .4 x 3 / 4 are protected,
    # and .6 x .5 + .4 x (.5 + .1 + .1 + .1) / 4 is earned
    without = {row["policy"]: row for row in found.reward.rows()}["without"]
    assert without["bootstrap_low"] < 0.38 < without["bootstrap_high"]
    # over all lists the share is kept, so of those with the floor it is (.6 - .25 x .3) / .75
    assert found.gained_share.value == pytest.approx(0.7 - 0.3, abs=0.05)
    assert found.lost.low < 0.4 * (0.5 - 0.1) < found.lost.high
    assert decider.floor.shown_share == pytest.approx(0.6, abs=0.02)


def test_protected_items_are_bound_by_filters(served):
    tail = protected_items(served, "tail")
    query = np.ones(7, dtype=np.float32)
    every, _ = tail.best(query, k=9, barred=np.array([], dtype=np.int64))
    assert sorted(served.items.ids[every].tolist()) == [10, 20, 40]
    rows, scores = tail.best(query, k=1, barred=served.items.rows([40]))
    assert scores == pytest.approx(served.candidate_embeddings[rows] @ query)
    assert served.items.ids[rows].tolist() in ([10], [20])
    assert served.rows_outside(("none",), tail.rows).tolist() == tail.rows.tolist()


def test_new_items_are_those_that_nobody_clicked_until_a_day_ago(served):
    new = protected_items(served, "new")
    # all clicks of the toy are within an hour of the watermark
    assert new.is_protected.all()
    assert served.items.ids[new.rows].tolist() == [30, 40, 10, 20]  # by popularity
    later = dataclasses.replace(served, watermark_us=served.watermark_us + 24 * 3_600_000_000)
    assert served.items.ids[protected_items(later, "new").is_protected].tolist() == [40]
