"""Adam for tables of which a step touches a few rows: its cost does not know the catalogue."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from recbench.errors import InputError

__all__ = ["RowAdam"]


class RowAdam(torch.optim.Optimizer):
    """AdamW by row: moments, step count, decay and average of a row move when it has a gradient.

    For tables with sparse gradients (``nn.Embedding(sparse=True)``). Bias correction counts a
    row's own steps. Decoupled weight decay of the steps that a row slept through is made up for
    when it wakes, with the learning rate of that step. ``averaged`` gives the exponential moving
    average over *all* steps: a sleeping row has one weight, so its average is closed form (the
    decay it has slept through counts from its first step on).

    ``youth`` y lets rows learn fast while they are new: the rate of a row's n-th step is
    (1 + y/sqrt(n)) times ``lr``. A row that appears in a short update would otherwise hardly move.

    When every row has a gradient in every step, and without ``youth``, this is
    `torch.optim.AdamW` and its average that of `torch.optim.swa_utils.AveragedModel` with a decay.

    Source: Kingma and Ba, "Adam", ICLR 2015; Loshchilov and Hutter, "Decoupled weight decay
    regularization", ICLR 2019.
    """

    def __init__(
        self,
        tables: Iterable[torch.nn.Parameter],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-4,
        average_decay: float = 0.0,
        youth: float = 0.0,
    ) -> None:
        """``average_decay`` per step, in [0, 1); 0: the average is the weights.

        Raises:
            InputError: a number outside its range.
        """
        if min(lr, weight_decay, youth) < 0 or eps <= 0:
            raise InputError(
                "`lr`, `weight_decay` and `youth` must not be negative and `eps` positive, got "
                f"{lr}, {weight_decay}, {youth}, {eps}"
            )
        for name, value in (("betas", max(betas)), ("average_decay", average_decay)):
            if not 0 <= value < 1:
                raise InputError(f"`{name}` must lie in [0, 1), got {value}")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(tables, defaults | {"average_decay": average_decay, "youth": youth})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # as torch's own optimisers
        """One step of every table that has a gradient.

        Raises:
            InputError: a gradient is dense: the table was not made with ``sparse=True``.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for table in group["params"]:
                state = self._state_of(table, group)
                state["step"] += 1
                if table.grad is not None:
                    if not table.grad.is_sparse:
                        raise InputError(
                            f"A table of shape {tuple(table.shape)} has a dense gradient; make it "
                            "with `nn.Embedding(..., sparse=True)`"
                        )
                    _move(table, table.grad.coalesce(), state, group)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; torch makes all state float, which counts must not be."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            for name in ("last", "count"):
                state[name] = state[name].to(torch.int32)

    def resume(
        self, table: torch.nn.Parameter, *, mean: Tensor, square: Tensor, count: Tensor
    ) -> None:
        """Go on from moments (rows, D) and steps, a number for all rows or one for each.

        No row has slept, and the average starts at the weights.
        """
        group = next(g for g in self.param_groups if any(p is table for p in g["params"]))
        state = self._state_of(table, group)
        state["mean"].copy_(mean)
        state["square"].copy_(square)
        state["count"].copy_(count.to(state["count"].dtype))  # a number goes to every row

    @torch.no_grad()
    def averaged(self, table: torch.nn.Parameter) -> Tensor:
        """(rows, D) the moving average of a table's weights as of the last step; a copy."""
        group = next(g for g in self.param_groups if any(p is table for p in g["params"]))
        state = self._state_of(table, group)
        if not group["average_decay"]:
            return table.detach().clone()
        slept = (state["step"] - state["last"]).double()[:, None]
        weights = _decayed(table, slept, group)
        fade = torch.pow(float(group["average_decay"]), slept).to(table.dtype)
        average: Tensor = state["average"]
        return fade * average + (1 - fade) * weights

    def _state_of(self, table: torch.nn.Parameter, group: dict[str, Any]) -> dict[str, Any]:
        state: dict[str, Any] = self.state[table]
        for name, held in state.items():  # a checkpoint may be read before the model is moved
            if isinstance(held, Tensor) and held.device != table.device:
                state[name] = held.to(table.device)
        if not state:
            counts = torch.zeros(len(table), dtype=torch.int32, device=table.device)
            state["step"] = 0
            state["last"] = counts  # the step before which a row slept
            state["count"] = counts.clone()  # steps in which it had a gradient
            state["mean"] = torch.zeros_like(table)
            state["square"] = torch.zeros_like(table)
            if group["average_decay"]:
                state["average"] = table.detach().clone()
        return state


def _move(table: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    """Only the rows of ``gradient`` are read and written."""
    rows, values = gradient.indices()[0], gradient.values()  # (R,), (R, D)
    beta1, beta2 = group["betas"]
    step, decay = state["step"], group["average_decay"]
    # `index_select` and `index_copy_` take half the time of a tensor in brackets
    slept = (step - 1 - state["last"].index_select(0, rows)).double()[:, None]
    weights = _decayed(table.index_select(0, rows), slept, group)
    average = state["average"].index_select(0, rows) if decay else None
    if average is not None:
        average.lerp_(weights, (1 - decay**slept).to(values.dtype))
    mean = state["mean"].index_select(0, rows).lerp_(values, 1 - beta1)
    square = state["square"].index_select(0, rows)
    square.mul_(beta2).addcmul_(values, values, value=1 - beta2)
    count = state["count"].index_select(0, rows).add_(1)
    n_steps = count.double()[:, None]  # in float32 the first 1 - beta2 would lose four digits
    lr = group["lr"] * (1 + group["youth"] / n_steps.sqrt())
    rate = (lr / (1 - beta1**n_steps)).to(values.dtype)
    root = (1 - beta2**n_steps).sqrt_().to(values.dtype)
    weights.mul_(1 - group["lr"] * group["weight_decay"])
    weights.sub_(rate * mean / (square.sqrt() / root).add_(group["eps"]))
    table.index_copy_(0, rows, weights)
    state["mean"].index_copy_(0, rows, mean)
    state["square"].index_copy_(0, rows, square)
    state["count"].index_copy_(0, rows, count)
    state["last"].index_fill_(0, rows, step)
    if average is not None:
        state["average"].index_copy_(0, rows, average.lerp_(weights, 1 - decay))


def _decayed(weights: Tensor, slept: Tensor, group: dict[str, Any]) -> Tensor:
    """A copy after the decay of the steps slept through, at today's learning rate."""
    kept: float = 1 - group["lr"] * group["weight_decay"]
    return weights * torch.pow(kept, slept).to(weights.dtype)
