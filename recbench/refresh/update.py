"""The update: a few steps from where the parent stands, towards what is new, not too far away."""

import copy
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from recbench.errors import JobError
from recbench.models.deepseek.routing import Router
from recbench.models.two_tower import TwoTower
from recbench.training.batch import Batch
from recbench.training.moments import Moments, moments_of, resume
from recbench.training.objective import StepLoss
from recbench.training.row_adam import RowAdam

__all__ = ["Rates", "Updated", "update_towers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Learning rates of one update, of its first step; they fall to zero on a line."""

    dense: float = 3e-3  # perceptrons, encoder, temperature
    tables: float = 1e-3  # rows of items, categories and words
    router: float = 3e-4  # of experts
    youth: float = 10.0  # how much faster new rows learn; see `RowAdam`
    weight_decay: float = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Updated:
    """Towers after an update, and how it went."""

    towers: TwoTower
    moments: Moments
    losses: list[float] = field(default_factory=list)  # a step each
    seconds: float = 0.0
    balance: dict[str, float] = field(default_factory=dict)  # of experts, in the last step


def update_towers(
    parent: TwoTower,
    moments: Mapping[str, Tensor],
    batches: Iterator[Batch],
    *,
    steps: int,
    seconds: float,
    rates: Rates,
    objective: StepLoss,
) -> Updated:
    """Copies of the parent's towers, trained on.

    Dense parts, tables and routers of experts each have a rate of their own. A step touches the
    batch's rows of the tables only. After ``seconds`` no further step begins.

    Args:
        parent: stays as it is; the objective may hold the update close to it.
        moments: of the parent's optimiser; those it lacks start anew.
        batches: one a step.
        steps: at most; 0 gives a copy.
        seconds: of the clock, at most.
        rates: learning rates.
        objective: what is minimised.

    Raises:
        JobError: the loss became NaN or infinite.
    """
    begun = time.perf_counter()
    towers = copy.deepcopy(parent).train()
    parent = parent.eval()
    for table in _tables(towers).values():
        table.sparse = True
    dense, rows = _optimizers(towers, rates)
    for optimizer in (dense, rows):
        resume(optimizer, towers, moments)
    losses: list[float] = []
    for step in range(steps):
        if time.perf_counter() - begun > seconds:
            break
        _set_rates((dense, rows), share=1 - step / steps)
        loss, _ = objective(towers, next(batches), parent=parent)
        balance = towers.auxiliary_loss()
        loss = loss if balance is None else loss + balance
        losses.append(float(loss.detach()))
        if not torch.isfinite(loss):
            raise JobError(f"The loss became {losses[-1]} at step {step} of the update")
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        for optimizer in (dense, rows):
            optimizer.step()
            optimizer.zero_grad()
        towers.after_step()
    learned = {**moments, **moments_of(towers, [dense, rows])} if losses else dict(moments)
    figures = towers.balance_figures() if losses else {}
    return Updated(towers.eval(), learned, losses, time.perf_counter() - begun, figures)


def _tables(towers: TwoTower) -> dict[str, nn.Embedding]:
    return {n: m for n, m in towers.named_modules() if isinstance(m, nn.Embedding)}


def _optimizers(towers: TwoTower, rates: Rates) -> tuple[torch.optim.AdamW, RowAdam]:
    tables = {f"{name}.weight" for name in _tables(towers)}
    routers = {id(p) for m in towers.modules() if isinstance(m, Router) for p in m.parameters()}
    groups: dict[float, list[nn.Parameter]] = {}
    rows = []
    for name, parameter in towers.named_parameters():
        if name in tables:
            rows.append(parameter)
        else:
            rate = rates.router if id(parameter) in routers else rates.dense
            groups.setdefault(rate, []).append(parameter)
    dense = torch.optim.AdamW(
        [{"params": params, "lr": rate, "initial_lr": rate} for rate, params in groups.items()],
        weight_decay=rates.weight_decay,
    )
    by_row = RowAdam(rows, lr=rates.tables, weight_decay=rates.weight_decay, youth=rates.youth)
    by_row.param_groups[0]["initial_lr"] = rates.tables
    return dense, by_row


def _set_rates(optimizers: tuple[torch.optim.Optimizer, ...], *, share: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = share * group["initial_lr"]
