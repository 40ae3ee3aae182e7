"""The update: every part at its own rate, within its budget, from where the parent stands."""

from dataclasses import replace

import pytest
import torch

from recbench.errors import JobError
from recbench.models.deepseek.routing import Router
from recbench.refresh.update import Rates, update_towers
from recbench.training.objective import Objective

STILL = Rates(dense=0.0, tables=0.0, router=0.0, weight_decay=0.0)


def update(fit, batches, **changed):
    options = {
        "steps": 4,
        "seconds": 60.0,
        "rates": Rates(),
        "objective": Objective(parent_weight=0.5),
    }
    stream = batches.from_step(0)
    return update_towers(fit.towers, fit.moments, stream, **(options | changed))


def moved(updated, fit):
    """The names of parameters that are not the parent's."""
    before = dict(fit.towers.named_parameters())
    after = dict(updated.towers.named_parameters())
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def test_the_parent_stays_as_it_is(tiny_fit, tiny_batches):
    before = {name: p.detach().clone() for name, p in tiny_fit.towers.named_parameters()}
    updated = update(tiny_fit, tiny_batches)
    assert moved(updated, tiny_fit)
    for name, parameter in tiny_fit.towers.named_parameters():
        assert torch.equal(parameter, before[name])


def test_without_steps_it_is_a_copy(tiny_fit, tiny_batches):
    updated = update(tiny_fit, tiny_batches, steps=0)
    assert not moved(updated, tiny_fit)
    assert not updated.losses


def test_without_time_no_step_begins(tiny_fit, tiny_batches):
    assert not update(tiny_fit, tiny_batches, seconds=-1.0).losses


@pytest.mark.parametrize(
    ("part", "named"), [("dense", "candidates."), ("tables", "items."), ("router", "nothing")]
)
def test_each_part_moves_at_its_own_rate(tiny_fit, tiny_batches, part, named):
    updated = update(tiny_fit, tiny_batches, rates=replace(STILL, **{part: 1e-2}))
    found = moved(updated, tiny_fit)
    assert all(name.startswith("items.") for name in found) == (part != "dense")
    assert any(name.startswith(named) for name in found) == (part != "router")


def test_rows_outside_the_batches_are_not_touched(tiny_fit, tiny_batches):
    updated = update(tiny_fit, tiny_batches, steps=1, rates=replace(STILL, tables=1e-2))
    seen = next(tiny_batches.from_step(0)).item_rows.unique()
    before, after = (t.items.item.weight for t in (tiny_fit.towers, updated.towers))
    changed = (before != after).any(dim=1).nonzero()[:, 0]
    assert set(changed.tolist()) <= set(seen.tolist())


def test_routers_of_experts_have_their_rate(tiny_data, tiny_arguments, tiny_batches):
    from recbench.jobs.build import fit_two_tower

    experiment = tiny_arguments["experiment"]
    towers = replace(experiment.towers, encoder="deepseek", n_layers=1, embedding_dim=16)
    arguments = tiny_arguments | {"experiment": replace(experiment, towers=towers)}
    fit = fit_two_tower(tiny_data, tiny_data.events, steps=2, **arguments)
    updated = update(fit, tiny_batches, rates=replace(STILL, router=1e-2))
    routers = {
        f"{place}.{name}"
        for place, module in fit.towers.named_modules()
        if isinstance(module, Router)
        for name, _ in module.named_parameters()
    }
    assert moved(updated, fit) == routers != set()


def test_a_heavy_parent_holds_the_rankings(tiny_fit, tiny_batches):
    batch = next(tiny_batches.from_step(100))

    def distance(parent_weight):
        updated = update(
            tiny_fit,
            tiny_batches,
            steps=40,
            rates=Rates(dense=1e-2, tables=1e-2),
            objective=Objective(parent_weight=parent_weight),
        )
        own, before = Objective(), Objective(parent_weight=1.0)
        plain = own(updated.towers, batch)[0]
        return (before(updated.towers, batch, parent=tiny_fit.towers)[0] - plain).item()

    assert distance(50.0) < 0.3 * distance(0.0)


def test_moments_go_on(tiny_fit, tiny_batches):
    updated = update(tiny_fit, tiny_batches)
    name = next(n for n in tiny_fit.moments if n.startswith("steps/candidates"))
    assert updated.moments[name] == tiny_fit.moments[name] + 4
    assert updated.moments.keys() == tiny_fit.moments.keys()


def test_a_loss_that_is_no_number_stops_it(tiny_fit, tiny_batches):
    def broken(*_, **__):
        return torch.tensor(float("nan"), requires_grad=True), None

    with pytest.raises(JobError, match="The loss became nan at step 0"):
        update(tiny_fit, tiny_batches, objective=broken)
