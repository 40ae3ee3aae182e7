"""AdamW and a moving average for tables of rows: a step costs what its rows cost, never the table.

A table is an `nn.Embedding` with ``sparse=True``. A row is *touched* by a step whose gradient holds
it; between two touches nothing of it is read or written. Its moments, and so its bias correction,
count its own touches: the first gradient of a rare row moves it as far as that of a common one.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from recbench.errors import InputError

__all__ = ["RowAdamW", "RowAverage"]

CHUNK_ROWS = 65_536  # of a whole table that is read
N_OWN = 2  # columns of a row's state beside its moments: touches, log decay


class RowAdamW(torch.optim.Optimizer):
    """AdamW: by touched row where a gradient is sparse, torch's own where it is dense.

    If every step touches every row, both are `torch.optim.AdamW` (and, without weight decay,
    `torch.optim.SparseAdam`). One optimiser for both kinds keeps one schedule and one state, and
    Lightning counts one step.

    Weight decay is exact and late: a touched row is multiplied by ``1 - lr * weight_decay`` of this
    step and of all steps since it was touched last, in one go. Until then it stays as it was, for
    the forward pass and for `RowAverage`, too.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        row_wise: bool = False,
    ) -> None:
        """All dials may differ by group of parameters.

        Args:
            parameters: tensors, or groups of them.
            lr: per step; a schedule may change it.
            betas: of the first and the second moment, each in [0, 1).
            eps: added to the root of the second moment.
            weight_decay: ``lr * weight_decay`` must stay below 1.
            row_wise: one second moment a row, of its mean squared gradient, in place of one an
                element: about half the state. Tables only.

        Raises:
            InputError: a dial is out of its range.

        Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019; the
        row-wise form is partial row-wise Adam of Khudia et al., "FBGEMM", 2021.
        """
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1):
            raise InputError(f"`betas` must lie in [0, 1), got {betas}")
        if lr < 0 or eps < 0 or weight_decay < 0 or lr * weight_decay >= 1:
            raise InputError(
                "`lr`, `eps` and `weight_decay` must not be negative, and `lr * weight_decay` must "
                f"stay below 1; got {lr}, {eps} and {weight_decay}"
            )
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "row_wise": row_wise,
            "log_decay": 0.0,  # of all steps so far
        }
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step over every parameter that has a gradient; the closure's value, if one is given.

        Raises:
            InputError: a gradient was sparse before and is not now, or the reverse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            group["log_decay"] += math.log1p(-group["lr"] * group["weight_decay"])
            given = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in given:
                self._begin(parameter, group)
            self._step_whole([p for p in given if not p.grad.is_sparse], group)
            for table in given:
                if table.grad.is_sparse:
                    self._step_rows(table, group)
        return loss

    def _begin(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """The state of a parameter that has its first gradient."""
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if state:
            if ("rows" in state) != gradient.is_sparse:
                raise InputError(
                    f"A parameter of shape {tuple(parameter.shape)} had a "
                    f"{'sparse' if 'rows' in state else 'dense'} gradient before, and now has the "
                    "other kind; look up its rows by `nn.Embedding(sparse=True)` only, or never"
                )
        elif gradient.is_sparse:
            n_rows, dim = parameter.shape
            width = dim + (1 if group["row_wise"] else dim) + N_OWN
            state["rows"] = torch.zeros(
                n_rows, width, dtype=parameter.dtype, device=parameter.device
            )
        else:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)

    def _step_whole(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        states = [self.state[parameter] for parameter in parameters]
        beta1, beta2 = group["betas"]
        adamw(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _step_rows(self, table: Tensor, group: dict[str, Any]) -> None:
        rows, gradient = _touched(table)
        # one run of memory a row: reading its parts from tables of their own takes up to thrice
        # as long where tables are larger than the cache
        own = self.state[table]["rows"].index_select(0, rows)
        dim = table.shape[1]
        first, second, touches, log_decay = own.split(
            [dim, own.shape[1] - dim - N_OWN, 1, 1], dim=1
        )
        beta1, beta2 = group["betas"]
        square = gradient.square()
        first.lerp_(gradient, 1 - beta1)
        second.lerp_(square.mean(1, keepdim=True) if group["row_wise"] else square, 1 - beta2)
        touches += 1
        count = touches.double()  # 1 - beta2 ** 1 would lose four digits in float32
        rate = (group["lr"] / (1 - beta1**count)).to(table.dtype)
        root = (1 - beta2**count).sqrt().to(table.dtype)
        before = log_decay.clone()
        log_decay.fill_(group["log_decay"])
        weight = table.index_select(0, rows).mul_((log_decay - before).exp_())
        weight -= rate * first / (second.sqrt().div_(root).add_(group["eps"]))
        self.state[table]["rows"].index_copy_(0, rows, own)
        table.index_copy_(0, rows, weight)


class RowAverage(nn.Module):
    """Exponential moving average of a table, moved by the rows that a step touches.

    After step t it is ``decay * average[t - 1] + (1 - decay) * weight[t]`` for every row, and
    ``weight[1]`` after the first: `torch.optim.swa_utils.AveragedModel` with
    ``get_ema_multi_avg_fn(decay)``. A row that was not touched for k steps had one weight all the
    time, so its part of the sum is ``1 - decay ** k`` of it: written when it is touched again, and
    computed when it is read. What is kept goes into the checkpoint with the module's buffers.
    """

    def __init__(self, n_rows: int, dim: int, *, decay: float) -> None:
        """``decay`` in [0, 1) per step; buffers are (n_rows, dim) float32 and (n_rows,) int32.

        Raises:
            InputError: ``decay`` is out of its range.
        """
        super().__init__()
        if not 0 <= decay < 1:
            raise InputError(f"`decay` must lie in [0, 1), got {decay}")
        self.decay = decay
        self.steps: Tensor
        self.average: Tensor
        self.settled: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int32))
        self.register_buffer("average", torch.zeros(n_rows, dim))
        # the step up to which `average` holds; 0: all of it is still one weight
        self.register_buffer("settled", torch.zeros(n_rows, dtype=torch.int32))

    @torch.no_grad()
    def before_step(self, weight: Tensor) -> None:
        """Settle the rows that are about to change; once per step, after the gradient is there.

        Args:
            weight: (n_rows, dim) the table; its ``grad`` names the rows, None: no row changes.
        """
        if weight.grad is not None:
            rows, _ = _touched(weight)
            self.average.index_copy_(0, rows, self.rows(weight, rows))
            self.settled[rows] = self.steps
        self.steps += 1

    @torch.no_grad()
    def rows(self, weight: Tensor, rows: Tensor) -> Tensor:
        """(N, dim) the average of (N,) ``rows`` after the last step; nothing is changed."""
        settled = self.settled.index_select(0, rows)
        untouched = self.decay ** (self.steps - settled).double()
        kept = untouched.masked_fill(settled == 0, 0.0)[:, None].to(weight.dtype)
        return torch.lerp(
            weight.index_select(0, rows), self.average.index_select(0, rows), kept
        ).to(self.average.dtype)

    @torch.no_grad()
    def table(self, weight: Tensor) -> Tensor:
        """(n_rows, dim) the average of all rows after the last step, newly made."""
        whole = torch.empty_like(self.average)
        for rows in torch.arange(len(weight), device=weight.device).split(CHUNK_ROWS):
            whole[rows[0] : rows[-1] + 1] = self.rows(weight, rows)
        return whole


def _touched(table: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) distinct rows and (N, D) their gradients, summed where a row came twice."""
    gradient = table.grad
    if gradient is None or not gradient.is_sparse:
        raise InputError(
            f"A table of shape {tuple(table.shape)} must have a sparse gradient; look up its rows "
            "by `nn.Embedding(sparse=True)` only"
        )
    gradient = gradient.coalesce()
    return gradient.indices()[0], gradient.values()
