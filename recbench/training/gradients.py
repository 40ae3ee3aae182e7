"""Gradients averaged over ranks: after it every rank makes the same step, to the bit.

Not DistributedDataParallel: it knows no rows of sparse tables on nccl, and holds no opinion on a
parameter that one rank used and another did not. What is dense here is small beside the tables, so
one collective for all of it costs less than buckets that overlap with the backward pass.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, distributed

from recbench.training.gathered import gathered_rows

__all__ = ["average_gradients"]


@torch.no_grad()
def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Each gradient becomes its mean over ranks; one that no rank has stays away.

    All ranks must call it together, with the same parameters in one order. Gradients of
    ``nn.Embedding(sparse=True)`` stay sparse: only rows that some rank touched travel.
    """
    held = list(parameters)
    n_ranks = distributed.get_world_size()
    used = torch.zeros(len(held), 3, dtype=torch.int64)  # dense, sparse, rows
    for number, parameter in enumerate(held):
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            used[number, 1], used[number, 2] = 1, parameter.grad.indices().shape[1]
        elif parameter.grad is not None:
            used[number, 0] = 1
    by_rank = _of_all(used.to(held[0].device))  # (ranks, parameters, 3)
    dense = [p for p, n in zip(held, by_rank[:, :, 0].sum(0).tolist(), strict=True) if n]
    if dense:
        _average_dense(dense, n_ranks)
    for number, parameter in enumerate(held):
        if by_rank[:, number, 1].any():
            _average_rows(parameter, by_rank[:, number, 2].tolist(), n_ranks)


def _of_all(own: Tensor) -> Tensor:
    """(ranks, ...) on the CPU."""
    parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, own)
    return torch.stack(parts).cpu()


def _average_dense(parameters: list[torch.nn.Parameter], n_ranks: int) -> None:
    """One collective for all: gradients side by side, zeros where this rank has none."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= n_ranks
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    shaped = [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]
    torch._foreach_copy_(gradients, shaped)


def _average_rows(table: torch.nn.Parameter, sizes: list[int], n_ranks: int) -> None:
    """The rows of all ranks, one after another; the optimiser adds up what is there twice."""
    own = table.grad
    if own is None:
        rows = torch.zeros(0, dtype=torch.int64, device=table.device)
        values = table.new_zeros(0, *table.shape[1:])
    else:
        rows, values = own.indices()[0], own.values()
    rows, values = gathered_rows(rows, sizes), gathered_rows(values, sizes)
    table.grad = torch.sparse_coo_tensor(
        rows[None], values / n_ranks, table.shape, check_invariants=False
    ).coalesce()
