"""What a training step minimises."""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from recbench.models.ranks import has_ranks
from recbench.models.two_tower import TwoTower
from recbench.training.batch import Batch, Points
from recbench.training.candidates import Candidates, accidental_hits
from recbench.training.embedded import embedded, of_all_ranks, of_queries
from recbench.training.full_softmax import full_softmax_loss
from recbench.training.losses import (
    binary_cross_entropy_loss,
    bpr_loss,
    distillation_loss,
    sampled_softmax_loss,
    watch_loss,
)

__all__ = ["Loss", "Objective", "StepLoss"]

Loss = Literal["softmax", "bpr", "bce"]


class StepLoss(Protocol):
    """Whatever a step may minimise."""

    def __call__(
        self,
        towers: TwoTower,
        batch: Batch,
        *,
        cached: Candidates | None = None,
        parent: TwoTower | None = None,
    ) -> tuple[Tensor, Candidates]:
        """As ``Objective``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of a batch: of its requests, of what comes next within histories, of watching."""

    loss: Loss = "softmax"
    inner_weight: float = 1.0  # of next events within histories, where batches have them
    watch_weight: float = 0.0  # of the watched share, where it is known
    parent_weight: float = 0.0  # of agreeing with the towers that these come from

    def __call__(
        self,
        towers: TwoTower,
        batch: Batch,
        *,
        cached: Candidates | None = None,
        parent: TwoTower | None = None,
    ) -> tuple[Tensor, Candidates]:
        """The loss, and the candidates of all ranks, to be cached.

        With several ranks the mean of their losses, and of their gradients, is that of one rank
        with the whole batch.

        Next events within histories (``batch.inner``) are judged by the cosine of query and item
        alone: what was popular then is not known to the batch.

        Args:
            towers: as they are.
            batch: of this rank; with several ranks its candidates are everybody's.
            cached: candidates of earlier batches, further negatives of the requests.
            parent: what these towers were before, held still: its rankings are to be kept.
        """
        encoded, candidates, targets, queries = embedded(towers, batch)
        asked, candidates = queries[: len(targets)], of_all_ranks(candidates, batch)
        loss = self._of_points(asked, targets, candidates, batch.points, batch, cached)
        if parent is not None and self.parent_weight:
            with torch.no_grad():
                before = embedded(parent, batch)
                known = before.queries[: len(targets)] @ of_all_ranks(before.candidates, batch).T
            divergence = distillation_loss(asked @ candidates.T, known) if len(asked) else 0 * loss
            loss = loss + self.parent_weight * of_queries(divergence, len(asked))
        if self.watch_weight:
            predicted = towers.watched(asked[:, :-1] * targets[:, :-1])
            n_known = int((batch.target_watch_ratio >= 0).sum()) if has_ranks() else 0
            watching = of_queries(watch_loss(predicted, batch.target_watch_ratio), n_known)
            loss = loss + self.watch_weight * watching
        if batch.inner is not None and self.inner_weight:
            taste = functional.normalize(encoded, dim=-1)
            inner = self._of_points(
                queries[len(targets) :, :-1],
                taste[batch.inner.target_at],
                of_all_ranks(taste[batch.candidate_at], batch),
                batch.inner,
                batch,
                None,
            )
            loss = loss + self.inner_weight * inner
        return loss, Candidates(candidates.detach(), batch.candidate_rows, batch.log_q)

    def _of_points(
        self,
        queries: Tensor,
        targets: Tensor,
        candidates: Tensor,
        points: Points,
        batch: Batch,
        cached: Candidates | None,
    ) -> Tensor:
        loss = self._mean(queries, targets, candidates, points, batch, cached)
        return of_queries(loss, len(targets))

    def _mean(
        self,
        queries: Tensor,
        targets: Tensor,
        candidates: Tensor,
        points: Points,
        batch: Batch,
        cached: Candidates | None,
    ) -> Tensor:
        if has_ranks() and not len(targets):  # its graph must end where those of others do
            return 0.0 * (queries.sum() + targets.sum() + candidates.sum())
        if batch.all_items and batch.hits is None and cached is None and self.loss == "softmax":
            return full_softmax_loss(queries, candidates, batch.item_rows[points.target_at])
        own = batch.candidate_rows == batch.item_rows[points.target_at][:, None]  # drawn again
        hits = own if batch.hits is None else batch.hits[points.history] | own
        log_q = batch.log_q
        if cached is not None:
            candidates = torch.cat([candidates, cached.embeddings])
            log_q = torch.cat([log_q, cached.log_q])
            hits = torch.cat([hits, _cached_hits(batch, cached)[points.history]], dim=1)
        positive, negatives = (queries * targets).sum(dim=1), queries @ candidates.T
        if self.loss == "bpr":
            return bpr_loss(positive, negatives, hits=hits)
        if self.loss == "bce":
            return binary_cross_entropy_loss(positive, negatives, hits=hits)
        return sampled_softmax_loss(
            positive, negatives, positive_log_q=points.target_log_q, log_q=log_q, hits=hits
        )


def _cached_hits(batch: Batch, cached: Candidates) -> Tensor:
    """(B, M) cached items that a history must not have as negatives.

    Its targets and, where items are taken once, its events.
    """
    owners, own = [batch.points.history], [batch.item_rows[batch.points.target_at]]
    if batch.hits is not None:
        owners.append(batch.layout.sequences)
        own.append(batch.item_rows[batch.event_at])
    return accidental_hits(
        torch.cat(owners), torch.cat(own), cached.item_rows, n_queries=batch.n_histories
    )
