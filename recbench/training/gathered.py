"""In-batch negatives across ranks: every rank's queries meet every rank's candidates.

Loss and gradients are those of one process with all batches, when ranks average their gradients as
DistributedDataParallel does.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed

from recbench.errors import InputError
from recbench.training.candidates import Candidates

__all__ = [
    "Gathered",
    "gathered_candidates",
    "gathered_rows",
    "gathered_share",
    "mean_over_ranks",
]


class Gathered(NamedTuple):
    """The candidates of all ranks, in order of rank."""

    candidates: Candidates
    first: int  # the column of this rank's first candidate: add it to the own targets' columns


def gathered_candidates(
    own: Candidates, *, group: distributed.ProcessGroup | None = None
) -> Gathered:
    """What all ranks have drawn; gradients flow back to the rank that encoded a candidate.

    All ranks must call it together, and all must use the result in their loss: the backward pass
    adds up the gradients of all ranks. They may bring different numbers of candidates.

    Args:
        own: this rank's candidates. Those of one step must be of one snapshot on all ranks, and
            ``log_q`` of one distribution, else the softmax compares what was never shown together.
        group: the ranks; default: all.

    Raises:
        InputError: on all ranks at once, if ranks differ in the embeddings' dimension; on this rank
            if ``own`` does not hold together.

    Source: all ranks' pairs as negatives as in Radford et al., "Learning transferable visual models
    from natural language supervision", ICML 2021.
    """
    embeddings, item_rows, log_q = own.checked()
    rank, n_ranks = distributed.get_rank(group), distributed.get_world_size(group)
    shape = torch.tensor(embeddings.shape, device=embeddings.device)
    shapes = [torch.empty_like(shape) for _ in range(n_ranks)]
    distributed.all_gather(shapes, shape, group=group)
    sizes, dims = zip(*(shape.tolist() for shape in shapes), strict=True)
    if len(set(dims)) > 1:
        raise InputError(
            f"`embeddings` must have one dimension on all ranks; by rank they have {list(dims)}"
        )
    ranks = _Ranks(list(sizes), rank, group)
    candidates = Candidates(
        _GatherWithGradient.apply(embeddings, ranks),  # type: ignore[no-untyped-call]  # torch's
        ranks.gather(item_rows),
        ranks.gather(log_q.detach()),
    )
    return Gathered(candidates, ranks.first)


def gathered_share(own: Tensor, *, n_rows: int) -> Tensor:
    """(A, ...) what all ranks have of ``n_rows`` rows that were dealt out evenly, in order of rank.

    Shares are those of ``numpy.array_split``. As for `gathered_candidates`: gradients flow back,
    and all ranks must call it together.

    Raises:
        InputError: the own share is of another size.
    """
    rank, n_ranks = distributed.get_rank(), distributed.get_world_size()
    sizes = [n_rows // n_ranks + (number < n_rows % n_ranks) for number in range(n_ranks)]
    if len(own) != sizes[rank]:
        raise InputError(
            f"Rank {rank} of {n_ranks} must bring {sizes[rank]} of {n_rows} rows, got {len(own)}; "
            "make its batches with this `rank` and `n_ranks`"
        )
    shared: Tensor = _GatherWithGradient.apply(own, _Ranks(sizes, rank, None))  # type: ignore[no-untyped-call]  # torch's
    return shared


def gathered_rows(own: Tensor, sizes: list[int]) -> Tensor:
    """(sum of ``sizes``, ...) the rows of all ranks, in order of rank, without gradient.

    ``sizes`` says how many rows each rank brings. All ranks must call it together.
    """
    return _Ranks(sizes, distributed.get_rank(), None).gather(own.detach())


def mean_over_ranks(
    loss: Tensor, *, n_queries: int, group: distributed.ProcessGroup | None = None
) -> Tensor:
    """The own mean loss, scaled: its mean over ranks is the mean over all ranks' queries.

    Needed where ranks have different numbers of queries; all ranks must call it together.

    Args:
        loss: scalar, the mean over this rank's queries; of none: 0, with a graph.
        n_queries: how many they are.
        group: the ranks; default: all.
    """
    total = torch.tensor(n_queries, device=loss.device)
    distributed.all_reduce(total, group=group)
    return loss * (n_queries * distributed.get_world_size(group) / max(1, int(total)))


class _Ranks(NamedTuple):
    """Who brings how many rows."""

    sizes: list[int]
    rank: int
    group: distributed.ProcessGroup | None

    @property
    def first(self) -> int:
        return sum(self.sizes[: self.rank])

    def gather(self, own: Tensor) -> Tensor:
        """Rows of all ranks; they travel padded to the longest, as collectives want it."""
        padded = own.new_zeros(max(self.sizes), *own.shape[1:])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in self.sizes]
        distributed.all_gather(parts, padded, group=self.group)
        return torch.cat([part[:size] for part, size in zip(parts, self.sizes, strict=True)])


class _GatherWithGradient(torch.autograd.Function):
    """Gathers rows; backward, each rank gets the sum of all ranks' gradients of its own rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, ranks: _Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.gather(own)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ranks = ctx.ranks
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total, group=ranks.group)
        return total[ranks.first : ranks.first + ranks.sizes[ranks.rank]], None
