"""Optimisers that go on in another process: to the bit where they would be."""

import copy

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from recbench.training.moments import grown_moments, moments_of, resume
from recbench.training.row_adam import RowAdam

ROWS = 6


class Small(nn.Module):
    """A table and a dense layer."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(ROWS, 3, sparse=True)
        self.dense = nn.Linear(3, 1)

    def forward(self, rows):
        return self.dense(self.table(rows)).square().sum()


def optimizers_of(model):
    dense = torch.optim.AdamW(model.dense.parameters(), lr=0.1)
    return [dense, RowAdam(model.table.parameters(), lr=0.1, weight_decay=0.0)]


def take(model, optimizers, steps):
    for rows in steps:
        model(torch.tensor(rows)).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Small()


def test_training_goes_on_through_a_file_as_if_it_had_never_stopped(model):
    whole = copy.deepcopy(model)
    take(whole, optimizers_of(whole), [[0, 1], [1, 2], [0, 5], [2, 2]])
    held = optimizers_of(model)
    take(model, held, [[0, 1], [1, 2]])
    moments = load(save(moments_of(model, held)))
    anew = optimizers_of(model)
    for optimizer in anew:
        resume(optimizer, model, moments)
    take(model, anew, [[0, 5], [2, 2]])
    for ours, theirs in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_adamw_that_saw_every_row_hands_over_to_row_adam(model):
    whole = copy.deepcopy(model)
    for made in (model, whole):
        made.table.sparse = False
    everything = list(range(ROWS))
    theirs = torch.optim.AdamW(whole.parameters(), lr=0.1, weight_decay=0.0)
    take(whole, [theirs], [everything] * 4)
    first = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.0)
    take(model, [first], [everything] * 2)
    moments = moments_of(model, [first])
    model.table.sparse = True
    dense = torch.optim.AdamW(model.dense.parameters(), lr=0.1, weight_decay=0.0)
    after = [dense, RowAdam(model.table.parameters(), lr=0.1, weight_decay=0.0)]
    for optimizer in after:
        resume(optimizer, model, moments)
    take(model, after, [everything] * 2)
    torch.testing.assert_close(model.table.weight, whole.table.weight)


def test_rows_that_were_gained_start_anew(model):
    held = optimizers_of(model)
    take(model, held, [[0, 1]])
    moments = moments_of(model, held)
    grown = grown_moments(moments, {"table.weight": ROWS + 2})
    for part in ("mean", "square", "steps"):
        name = f"{part}/table.weight"
        assert torch.equal(grown[name][:ROWS], moments[name])
        assert not grown[name][ROWS:].any()
    assert len(grown["steps/table.weight"]) == ROWS + 2
    assert grown["mean/dense.weight"] is moments["mean/dense.weight"]


def test_parameters_without_moments_start_anew(model):
    optimizer = torch.optim.AdamW(model.dense.parameters())
    resume(optimizer, model, {})
    assert not optimizer.state
