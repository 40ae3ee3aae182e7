"""A log of chance, policies judged by it, and arms in closed loop, in a small simulated world."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recbench.datasets.world.truth import World
from recbench.errors import InputError
from recbench.jobs.policy_arms import FREE, KEPT_NEW, KEPT_TAIL, ORACLE, Arms, arms_of
from recbench.jobs.policy_judged import LOGGED, TODAY, JudgedPolicies, candidate_policies
from recbench.jobs.policy_log import LEARNT_H, LOGGED_H, TRAINED_H, PolicyLog, world_of

pytestmark = pytest.mark.slow  # three days of a world, many times; the notebook's test is quicker


@pytest.fixture(scope="module")
def log():
    world = world_of(n_users=60, n_live=60, requests=30.0, seed=3, delay_s=60.0)
    return PolicyLog.made(world, steps=10, embedding_dim=8, tick_s=3600.0, seed=3)


@pytest.fixture(scope="module")
def arms(log):
    wanted = (TODAY, FREE, KEPT_TAIL, KEPT_NEW, ORACLE)
    every = arms_of(log, {}, least_tail=0.9, least_new=0.9)
    return Arms.run(log, {name: every[name] for name in wanted})


def test_log_has_declared_chances_and_the_judged_half_is_the_later_one(log):
    second = log.shown.exposures.hours >= TRAINED_H
    assert log.shown.exposures.propensities[second].min() >= log.even / 100
    hours = np.concatenate([tick.asked.hours for tick in log.judged])
    assert LEARNT_H <= hours.min() < LEARNT_H + 1
    assert hours.max() < LOGGED_H
    for tick in log.judged[::5]:
        assert tick.chances.sum(axis=1) == pytest.approx(np.ones(len(tick.asked)))


def test_logging_policy_is_judged_as_what_it_earned(log):
    policies = candidate_policies(log)
    judged = JudgedPolicies.of(log, {n: policies[n] for n in (LOGGED, TODAY)}, baseline=LOGGED)
    (row,) = judged.table().filter(policy=LOGGED, estimator="snips").to_dicts()
    judged_half = log.shown.exposures.hours >= LEARNT_H
    assert row["value"] == pytest.approx(log.shown.clicked[judged_half].mean())
    assert row["bootstrap_low"] < judged.truths[LOGGED] < row["bootstrap_high"]


def test_few_rows_cannot_tell_of_greedy_policies_and_then_nothing_changes(log):
    judged = JudgedPolicies.of(log, candidate_policies(log))
    (row,) = judged.table().filter(policy="newest", estimator="dr").to_dicts()
    assert row["told"].startswith("cannot tell")
    assert row["value"] is None
    assert judged.choice == TODAY


def test_arms_serve_the_same_requests_and_the_oracle_is_best(arms):
    reference = arms.shown[TODAY].exposures
    for shown in arms.shown.values():
        assert np.array_equal(shown.exposures.request_ids, reference.request_ids)
    table = {row["arm"]: row for row in arms.table().to_dicts()}
    assert table[TODAY]["ctr_difference"] == 0
    assert table[ORACLE]["ctr_low"] > 0
    assert table[KEPT_TAIL]["tail"] > table[FREE]["tail"]
    assert table[KEPT_NEW]["new"] > table[FREE]["new"]
    last = arms.regret().group_by("arm", maintain_order=True).last()
    regret = dict(last.select("arm", "regret").iter_rows())
    assert regret[ORACLE] == 0
    assert regret[FREE] > 0
    shares = arms.exposure().group_by("arm").agg(pl.col("share").sum())
    assert shares["share"].to_list() == pytest.approx([1.0] * 5)
    assert set(arms.result()) >= {"gain", "bar_clicks", "bar_tail", "price_of_tail"}


def test_lists_of_several_items_are_refused():
    world = world_of(n_users=10, n_live=40, requests=5.0, seed=0, delay_s=0.0)
    settings = replace(world.settings, slate=2)
    with pytest.raises(InputError, match="requests of one item, got 2"):
        PolicyLog.made(World.drawn(settings, seed=0))
