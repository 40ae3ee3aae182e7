"""The optimiser of tables beside torch's own and beside a plain loop."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from recbench.errors import InputError
from recbench.training.row_adam import RowAdam

ROWS, DIM = 7, 3
OPTIONS = {"lr": 0.05, "weight_decay": 0.02}


def table_of(seed=0, *, sparse=True):
    torch.manual_seed(seed)
    return nn.Embedding(ROWS, DIM, sparse=sparse, dtype=torch.float64)


def take_step(table, optimizer, rows, target):
    optimizer.zero_grad()
    (table(rows) - target[rows]).square().sum().backward()
    optimizer.step()


@pytest.fixture
def target():
    return torch.randn(ROWS, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def test_with_every_row_in_every_step_it_is_adamw(target):
    ours, theirs = table_of(), table_of(sparse=False)
    mine = RowAdam(ours.parameters(), **OPTIONS)
    other = torch.optim.AdamW(theirs.parameters(), **OPTIONS)
    for _ in range(20):
        take_step(ours, mine, torch.arange(ROWS), target)
        take_step(theirs, other, torch.arange(ROWS), target)
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_with_every_row_in_every_step_its_average_is_torchs(target):
    ours, theirs = table_of(), table_of(sparse=False)
    mine = RowAdam(ours.parameters(), **OPTIONS, average_decay=0.9)
    other = torch.optim.AdamW(theirs.parameters(), **OPTIONS)
    average = AveragedModel(theirs, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average.update_parameters(theirs)  # torch starts from the first weights it is shown
    for _ in range(12):
        take_step(ours, mine, torch.arange(ROWS), target)
        take_step(theirs, other, torch.arange(ROWS), target)
        average.update_parameters(theirs)
    torch.testing.assert_close(mine.averaged(ours.weight), average.module.weight)


def test_a_young_row_learns_faster_by_the_steps_that_it_has_seen(target):
    ours, theirs = table_of(), table_of(sparse=False)
    mine = RowAdam(ours.parameters(), lr=0.05, weight_decay=0, youth=3.0)
    other = torch.optim.AdamW(theirs.parameters(), lr=0.05, weight_decay=0)
    for n in range(1, 9):
        take_step(ours, mine, torch.arange(ROWS), target)
        other.param_groups[0]["lr"] = 0.05 * (1 + 3 / n**0.5)
        take_step(theirs, other, torch.arange(ROWS), target)
    torch.testing.assert_close(ours.weight, theirs.weight)


CHOSEN = [[0, 1], [1, 1, 5], [2], [0], [6, 5], [0, 1, 2], [5]]


def test_a_waking_row_makes_up_for_the_decay_it_slept_through(target):
    table = table_of()
    weights = table.weight.detach().clone()
    mean, square = torch.zeros_like(weights), torch.zeros_like(weights)
    count, last = [0] * ROWS, [0] * ROWS
    optimizer = RowAdam(table.parameters(), **OPTIONS)
    for step, rows in enumerate(CHOSEN, start=1):
        take_step(table, optimizer, torch.tensor(rows), target)
        for row in set(rows):
            gradient = 2 * rows.count(row) * (weights[row] - target[row])
            count[row] += 1
            mean[row] = 0.9 * mean[row] + 0.1 * gradient
            square[row] = 0.999 * square[row] + 0.001 * gradient**2
            weights[row] *= (1 - 0.05 * 0.02) ** (step - last[row])  # this step's decay, too
            root = (square[row] / (1 - 0.999 ** count[row])).sqrt() + 1e-8
            weights[row] -= 0.05 * mean[row] / (1 - 0.9 ** count[row]) / root
            last[row] = step
    torch.testing.assert_close(table.weight, weights)


def test_without_decay_the_average_of_sleeping_rows_is_exact(target):
    table = table_of()
    optimizer = RowAdam(table.parameters(), lr=0.05, weight_decay=0.0, average_decay=0.8)
    average = table.weight.detach().clone()
    for rows in CHOSEN:
        take_step(table, optimizer, torch.tensor(rows), target)
        average = 0.8 * average + 0.2 * table.weight.detach()
    torch.testing.assert_close(optimizer.averaged(table.weight), average)


def test_rows_without_a_gradient_are_not_touched(target):
    table = table_of()
    before = table.weight.detach().clone()
    optimizer = RowAdam(table.parameters(), **OPTIONS)
    take_step(table, optimizer, torch.tensor([2, 4]), target)
    changed = (table.weight != before).any(dim=1)
    assert changed.tolist() == [False, False, True, False, True, False, False]


def test_it_goes_on_from_a_saved_state(target, tmp_path):
    options = OPTIONS | {"average_decay": 0.9}
    whole = table_of()
    optimizer = RowAdam(whole.parameters(), **options)
    for number, rows in enumerate(CHOSEN):
        if number == 3:
            torch.save(
                {"table": whole.state_dict(), "state": optimizer.state_dict()}, tmp_path / "s"
            )
        take_step(whole, optimizer, torch.tensor(rows), target)
    saved = torch.load(tmp_path / "s", weights_only=True)
    resumed = table_of(seed=1)
    resumed.load_state_dict(saved["table"])
    again = RowAdam(resumed.parameters(), **options)
    again.load_state_dict(saved["state"])
    state = again.state[resumed.weight]
    assert state["count"].dtype == state["last"].dtype == torch.int32
    for rows in CHOSEN[3:]:
        take_step(resumed, again, torch.tensor(rows), target)
    assert torch.equal(resumed.weight, whole.weight)
    assert torch.equal(again.averaged(resumed.weight), optimizer.averaged(whole.weight))


def test_a_dense_gradient_is_refused(target):
    table = table_of(sparse=False)
    with pytest.raises(InputError, match=r"shape \(7, 3\) has a dense gradient"):
        take_step(table, RowAdam(table.parameters()), torch.arange(2), target)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"lr": -1.0}, "-1.0"),
        ({"average_decay": 1.0}, "`average_decay` must lie in \\[0, 1\\), got 1.0"),
        ({"betas": (0.9, 1.0)}, "`betas` .* got 1.0"),
    ],
)
def test_numbers_outside_their_range_are_refused(options, told):
    with pytest.raises(InputError, match=told):
        RowAdam(table_of().parameters(), **options)
