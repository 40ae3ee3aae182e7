"""Candidates of the last batches, kept as further negatives."""

import torch
from torch import Tensor, nn

from recbench.errors import InputError
from recbench.training.candidates import Candidates

__all__ = ["NegativeCache"]


class NegativeCache(nn.Module):
    """A ring of the candidates encoded last: more negatives without encoding them again.

    Their embeddings are as old as the ring is long and have no gradient: the paper starts to push
    after a warm-up, when the towers no longer move fast. In the loss, cached candidates come after
    the batch's own, with hits from `candidates.accidental_hits`: an item of the ring may well be a
    positive of a query of this batch.

    What is kept are buffers and so part of a checkpoint. With several ranks each keeps the
    candidates of all, and so the same.

    Source: Wang et al., "Cross-batch negative sampling for training two-tower recommenders",
    SIGIR 2021.
    """

    def __init__(self, capacity: int, dim: int) -> None:
        """At most ``capacity`` candidates of ``dim`` dimensions.

        Raises:
            InputError: ``capacity`` is not positive.
        """
        super().__init__()
        if capacity < 1:
            raise InputError(f"`capacity` must be at least 1, got {capacity}; or use no cache")
        self.embeddings: Tensor
        self.item_rows: Tensor
        self.log_q: Tensor
        self.n_pushed: Tensor
        self.register_buffer("embeddings", torch.zeros(capacity, dim))
        self.register_buffer("item_rows", torch.zeros(capacity, dtype=torch.int64))
        self.register_buffer("log_q", torch.zeros(capacity))
        self.register_buffer("n_pushed", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, candidates: Candidates) -> None:
        """Keep the candidates in place of the oldest; call it with a step's own, after its loss.

        Raises:
            InputError: the fields do not hold together, or have another dimension than the cache.
        """
        embeddings, item_rows, log_q = candidates.checked()
        capacity, dim = self.embeddings.shape
        if embeddings.shape[1] != dim:
            raise InputError(
                f"The cache keeps embeddings of {dim} dimensions, got {embeddings.shape[1]}"
            )
        n_kept = min(len(embeddings), capacity)
        self.n_pushed += len(embeddings)
        slots = torch.arange(-n_kept, 0, device=embeddings.device).add(self.n_pushed) % capacity
        for ring, new in zip(
            (self.embeddings, self.item_rows, self.log_q),
            (embeddings, item_rows, log_q),
            strict=True,
        ):
            ring[slots] = new[len(new) - n_kept :].to(ring.dtype)

    def read(self) -> Candidates:
        """Copies of all that is kept, at first nothing; in no order."""
        n_held = min(int(self.n_pushed), len(self.item_rows))
        return Candidates(
            self.embeddings[:n_held].clone(),
            self.item_rows[:n_held].clone(),
            self.log_q[:n_held].clone(),
        )
