"""Off-policy REINFORCE: by a plain loop, by hand, and what it leaves alone."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from recbench import columns as c
from recbench.errors import InputError
from recbench.jobs.build import batches_for
from recbench.training.embedded import embedded
from recbench.training.fit import fit
from recbench.training.losses import reinforce_loss
from recbench.training.policy_gradient import Reinforce, _log_policy


@pytest.fixture(scope="module")
def batches(tiny_data, tiny_arguments):
    """The tiny log, half of it with propensities."""
    events = tiny_data.events
    chance = pl.when(pl.int_range(pl.len()) % 2 == 0).then(0.1).otherwise(None)
    data = replace(tiny_data, events=events.with_columns(chance.alias(c.PROPENSITY)))
    return batches_for(
        data,
        data.events,
        tiny_arguments["cut"],
        experiment=tiny_arguments["experiment"],
    )


@pytest.fixture
def batch(batches):
    return batches.batch(batches.epoch(0)[0], np.random.default_rng(0))


def test_loss_by_hand():
    log_policy = torch.tensor([0.5, 0.2, 0.1]).log().requires_grad_()
    rewards, chances = torch.tensor([1.0, 0.5, 1.0]), torch.tensor([0.25, 0.001, -1.0])
    loss = reinforce_loss(log_policy, rewards, chances, slate=2, cap=10.0)
    # weights 2 and 200, capped at 10; multipliers 2 * .5 and 2 * .8; the third is unknown
    coefficients = torch.tensor([1.0 * 2 * 1.0, 0.5 * 10 * 1.6, 0.0])
    torch.testing.assert_close(loss, -(coefficients * log_policy).sum() / 2)
    loss.backward()
    torch.testing.assert_close(log_policy.grad, -coefficients / 2)


def test_policy_is_the_softmax_over_all_items_where_all_are_there(tiny_towers, batches):
    every = replace(batches, all_items=True, repeats=True)
    batch = every.batch(every.epoch(0)[0], np.random.default_rng(0))
    towers = tiny_towers()
    loss, candidates = Reinforce(slate=3, cap=5.0, parent_weight=0.0)(towers, batch)
    found = embedded(towers, batch)
    logits = found.queries[: len(found.targets)] @ candidates.embeddings.T
    own = batch.item_rows[batch.points.target_at]
    masked = logits.clone()
    if batch.hits is not None:
        is_own = batch.candidate_rows == own[:, None]
        masked[batch.hits[batch.points.history] & ~is_own] = -torch.inf
    log_policy = masked.log_softmax(dim=1)[torch.arange(len(own)), own]
    ones = torch.ones(len(own))
    expected = reinforce_loss(log_policy, ones, batch.target_propensity, slate=3, cap=5.0)
    torch.testing.assert_close(loss, expected)


def test_gradient_reaches_the_query_tower_alone(tiny_towers, batch):
    towers = tiny_towers()
    Reinforce()(towers, batch)[0].backward()
    moved = {n for n, p in towers.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert moved
    assert all(name.startswith("queries.") for name in moved)


def test_requests_without_a_propensity_teach_nothing(tiny_towers, batch):
    assert (batch.target_propensity < 0).any()
    assert (batch.target_propensity > 0).any()
    nobody = batch._replace(target_propensity=torch.full_like(batch.target_propensity, -1.0))
    towers = tiny_towers()
    loss, _ = Reinforce(parent_weight=0.0)(towers, nobody)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.abs().sum() for p in towers.parameters())


def test_watched_share_is_part_of_the_reward(tiny_towers, batch):
    half = batch._replace(target_watch_ratio=torch.full_like(batch.target_watch_ratio, 0.5))
    towers = tiny_towers()
    click, _ = Reinforce(parent_weight=0.0)(towers, half)
    mixed, _ = Reinforce(parent_weight=0.0, watch_share=0.4)(towers, half)
    torch.testing.assert_close(mixed, 0.8 * click)  # .6 + .4 * .5


def test_it_is_trained_by_lightning_and_moves_towards_what_earned(tiny_towers, batches, batch):
    objective, towers = Reinforce(parent_weight=0.0), tiny_towers()
    trained = fit(towers, batches, max_steps=40, learning_rate=1e-2, objective=objective).towers
    before, after = (_value(towers, batch) for towers in (tiny_towers(), trained))
    assert after > before
    for name, parameter in tiny_towers().named_parameters():
        same = torch.equal(parameter, dict(trained.named_parameters())[name])
        assert same or name.startswith("queries.")


@torch.no_grad()
def _value(towers, batch):
    """The IPS estimate of what the policy earns; the loss itself need not fall."""
    found = embedded(towers, batch)
    known = batch.target_propensity > 0
    chances = _log_policy(found, found.candidates, batch).exp()
    return (chances / batch.target_propensity)[known].mean().item()


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"slate": 0}, "`slate` must be at least 1, got 0"),
        ({"cap": 0}, "`cap` must be positive, got 0"),
        ({"watch_share": 2}, r"`watch_share` must lie in \[0, 1\], got 2"),
    ],
)
def test_dials_that_mean_nothing_are_refused(dials, message):
    with pytest.raises(InputError, match=message):
        Reinforce(**dials)
