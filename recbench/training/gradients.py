"""Gradients averaged over ranks: after it every rank makes the same step, to the bit.

Not DistributedDataParallel: it knows no rows of sparse tables on nccl, and holds no opinion on a
parameter that one rank used and another did not. What is dense here is small beside the tables, so
one collective for all of it costs less than buckets that overlap with the backward pass.
"""

import operator
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
    tables = [number for number in range(len(held)) if by_rank[:, number, 1].any()]
    if tables:
        _average_rows([held[number] for number in tables], by_rank[:, tables, 2].tolist())


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


def _average_rows(tables: list[torch.nn.Parameter], sizes: list[list[int]]) -> None:
    """The rows of all ranks, one after another, in two collectives for all tables together.

    ``sizes`` says for each rank and table how many rows come. The optimiser adds up what is there
    twice.
    """
    own = [_rows_and_values(table) for table in tables]
    rows = gathered_rows(torch.cat([r for r, _ in own]), [sum(of_rank) for of_rank in sizes])
    widths = [table.shape[1] for table in tables]
    n_values = [sum(map(operator.mul, of_rank, widths)) for of_rank in sizes]
    values = gathered_rows(torch.cat([v.reshape(-1) for _, v in own]), n_values)
    n_tables, n_ranks = len(tables), len(sizes)
    row_parts = torch.split(rows, [n for of_rank in sizes for n in of_rank])
    cuts = [n * width for of_rank in sizes for n, width in zip(of_rank, widths, strict=True)]
    value_parts = torch.split(values, cuts)
    for number, table in enumerate(tables):
        indices = torch.cat(row_parts[number::n_tables])
        summands = torch.cat(value_parts[number::n_tables]).view(-1, widths[number]) / n_ranks
        table.grad = torch.sparse_coo_tensor(
            indices[None], summands, table.shape, check_invariants=False
        ).coalesce()


def _rows_and_values(table: torch.nn.Parameter) -> tuple[Tensor, Tensor]:
    """(R,), (R, D) of the gradient; nothing where this rank has none."""
    if table.grad is None:
        nothing = torch.zeros(0, dtype=torch.int64, device=table.device)
        return nothing, table.new_zeros(0, *table.shape[1:])
    return table.grad.indices()[0], table.grad.values()
