"""One training step in float32 beside the same step in float64, and beside AdamW on paper."""

import copy

import pytest
import torch

from recbench.jobs.build import Cut, batches_for, new_towers
from recbench.settings import Experiment, TowerSettings, TrainingSettings
from recbench.tables.log import EventLog
from recbench.training.fit import fit
from recbench.training.objective import Objective

LEARNING_RATE, WEIGHT_DECAY, EPS = 1e-3, 1e-2, 1e-8
UNIT = 2.0**-24  # of float32: half the distance from 1 to the next number
# It moves all scores of a request alike, so its gradient is 0 on paper, and rounding in a computer.
IDLE = "candidates.prior.2.bias"


@pytest.fixture(
    scope="module",
    params=[("pooled", "dense"), ("pooled", "rows"), ("gru", "dense"), ("deepseek", "rows")],
    ids="-".join,
)
def made(request, tiny_events, tiny_items):
    """Untrained towers, batches, and what is minimised."""
    encoder, table_updates = request.param
    inner_weight = 0.0 if encoder == "pooled" else 0.5
    experiment = Experiment(
        towers=TowerSettings(embedding_dim=16, hidden_dim=16, encoder=encoder),
        training=TrainingSettings(
            batch_size=32,
            n_uniform=40,
            n_cuts=6,
            inner_weight=inner_weight,
            table_updates=table_updates,
        ),
    )
    data = EventLog("tiny", "masked", tiny_events, tiny_items, version=0)
    cut = Cut(
        at=data.watermark_us + 1,
        horizon_us=3 * 86_400_000_000,
        half_life_s=5 * 86_400.0,
    )
    batches = batches_for(data, data.events, cut, experiment=experiment)
    return new_towers(data, experiment), batches, Objective(inner_weight=inner_weight)


@pytest.fixture(scope="module")
def batch(made):
    return next(made[1].from_step(0))


def doubled(part):
    """The batch with every float in float64."""
    if isinstance(part, torch.Tensor):
        return part.double() if part.is_floating_point() else part
    return type(part)(*map(doubled, part)) if isinstance(part, tuple) else part


def loss_and_gradients(towers, batch, objective):
    loss = objective(towers, batch)[0]
    loss.backward()
    return loss.item(), {n: p.grad for n, p in towers.named_parameters() if p.grad is not None}


@pytest.fixture(scope="module")
def single(made, batch):
    """Loss and gradients in float32."""
    return loss_and_gradients(copy.deepcopy(made[0]), batch, made[2])


@pytest.fixture(scope="module")
def exact(made, batch):
    """Loss and gradients in float64."""
    return loss_and_gradients(copy.deepcopy(made[0]).double(), doubled(batch), made[2])


def tolerance(name, gradient, batch):
    """How far float32 may be off in any element of a gradient.

    An element is a sum over T events and C candidates of products over D dimensions; a sum of n
    terms is off by up to n units of its terms, and terms are up to some times their sum. The terms
    of the idle bias are probabilities, up to 1.
    """
    n_terms = len(batch.event_at) + len(batch.candidate_rows) + 16
    return 4 * n_terms * UNIT * (1.0 if name == IDLE else gradient.abs().max().item())


def test_the_loss_is_that_of_float64(single, exact, batch):
    # a mean of logarithms of sums over the candidates
    assert single[0] == pytest.approx(exact[0], rel=len(batch.candidate_rows) * UNIT)


def test_gradients_are_those_of_float64(single, exact, batch):
    assert single[1].keys() == exact[1].keys()
    for name, gradient in exact[1].items():
        whole = gradient.to_dense() if gradient.is_sparse else gradient
        error = (single[1][name].to_dense().double() - whole).abs().max()
        assert error <= tolerance(name, whole, batch), name


def direction(gradient):
    """Of AdamW's first step: both moments, corrected for their bias, are of this one gradient."""
    return gradient / (gradient.abs() + EPS)


def test_a_step_of_training_ends_where_adamw_on_paper_does(made, exact, batch):
    towers, batches, objective = made
    trained = fit(
        copy.deepcopy(towers),
        batches,
        max_steps=1,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        warmup_steps=1,
        average_decay=0.0,
        objective=objective,
    ).towers
    after = dict(trained.named_parameters())
    sharp = []
    for name, before in towers.named_parameters():
        weight, gradient = before.detach().double(), exact[1][name]
        moved = torch.ones_like(weight, dtype=torch.bool)
        if gradient.is_sparse:  # rows without a gradient stay as they are
            moved[:] = False
            moved[gradient.coalesce().indices()[0]] = True
        gradient = gradient.to_dense()
        decayed = weight * (1 - LEARNING_RATE * WEIGHT_DECAY)
        expected = torch.where(moved, decayed - LEARNING_RATE * direction(gradient), weight)
        # the direction grows with the gradient, so its ends bound it
        slack, middle = tolerance(name, gradient, batch), direction(gradient)
        ends = direction(gradient + slack) - middle, middle - direction(gradient - slack)
        # a handful of roundings of the weight and of the step besides
        roundings = 8 * UNIT * (weight.abs() + LEARNING_RATE)
        allowed = LEARNING_RATE * torch.maximum(*ends) + roundings
        error = (after[name].detach().double() - expected).abs()
        assert (error <= allowed).all(), name
        sharp.append(allowed.flatten() < 1e-2 * LEARNING_RATE)
    assert torch.cat(sharp).double().mean() > 0.85  # elsewhere a gradient's sign is rounding
