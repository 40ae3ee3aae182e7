"""Several processes that train one model: what part of a batch-wide figure is whose."""

import torch
from torch import Tensor, distributed

__all__ = ["has_ranks", "mean_of_all", "summed_over_ranks"]


def has_ranks() -> bool:
    """Whether this process is a rank: a process group stands, if only of one."""
    return distributed.is_available() and distributed.is_initialized()


@torch.no_grad()
def summed_over_ranks(values: Tensor) -> Tensor:
    """The sum of what all ranks bring, without gradient; the values themselves without ranks.

    All ranks must call it together.
    """
    if not has_ranks():
        return values.detach()
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total


def mean_of_all(values: Tensor) -> Tensor:
    """(N, ...) -> (...): a part of the mean over all ranks' rows; the parts' mean is that mean.

    So are their gradients, when ranks average them. Ranks may have different numbers of rows, or
    none. All ranks must call it together.
    """
    if not has_ranks():
        return values.mean(dim=0)
    n_rows = summed_over_ranks(torch.tensor(values.shape[0], device=values.device))
    return values.sum(dim=0) * (distributed.get_world_size() / n_rows)
