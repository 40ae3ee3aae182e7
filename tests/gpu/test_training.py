"""Training on one CUDA device: the same loss and nearly the same weights as on the CPU."""

import numpy as np
import pytest
import torch

from recbench.jobs.build import Cut, batches_for, microseconds, new_towers
from recbench.settings import Experiment, TowerSettings, TrainingSettings
from recbench.tables.log import EventLog
from recbench.training.fit import fit
from recbench.training.objective import Objective

pytestmark = pytest.mark.gpu


def batch_loss(towers, batch):
    return Objective()(towers, batch)[0]


@pytest.fixture(scope="module")
def settings():
    return Experiment(
        towers=TowerSettings(embedding_dim=16, hidden_dim=16),
        training=TrainingSettings(batch_size=32, n_uniform=40, n_cuts=6),
    )


@pytest.fixture(scope="module")
def data(tiny_events, tiny_items):
    return EventLog("tiny", "masked", tiny_events, tiny_items, version=0)


@pytest.fixture(scope="module")
def batches(data, settings):
    cut = Cut(
        at=microseconds(data.watermark) + 1,
        horizon_us=3 * 86_400_000_000,
        half_life_s=5 * 86_400.0,
    )
    return batches_for(data, data.events, cut, experiment=settings)


def test_the_loss_of_a_batch_is_that_of_the_cpu(data, settings, batches):
    towers = new_towers(data, settings)
    batch = next(batches.from_step(0))
    expected = batch_loss(towers, batch).item()
    moved = batch.to(torch.device("cuda"))
    assert batch_loss(towers.cuda(), moved).item() == pytest.approx(expected, rel=1e-5)


def test_training_ends_near_where_the_cpu_ends(data, settings, batches):
    cpu = fit(new_towers(data, settings), batches, max_steps=20).towers
    gpu = fit(new_towers(data, settings), batches, max_steps=20, accelerator="gpu").towers
    for name, value in cpu.state_dict().items():
        # twenty AdamW steps of 1e-3: a sign that flips near zero costs up to one step's length
        assert np.abs(gpu.state_dict()[name] - value).max() < 2e-3, name
    assert next(gpu.parameters()).device == torch.device("cpu")
