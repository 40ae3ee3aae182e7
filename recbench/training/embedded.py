"""A batch through both towers: what every loss of a step begins with."""

from typing import NamedTuple

import torch
from torch import Tensor

from recbench.models.query_towers import Events, Requests
from recbench.models.ranks import has_ranks
from recbench.models.two_tower import TwoTower
from recbench.training.batch import Batch
from recbench.training.gathered import gathered_share, mean_over_ranks

__all__ = ["Embedded", "embedded", "of_all_ranks", "of_queries"]


class Embedded(NamedTuple):
    """N items, C candidates, P targets, and the requests."""

    encoded: Tensor  # (N, D)
    candidates: Tensor  # (C, D + 1)
    targets: Tensor  # (P, D + 1)
    queries: Tensor  # (P or P + I, D + 1)


def embedded(towers: TwoTower, batch: Batch, *, queries_only: bool = False) -> Embedded:
    """One pass of both towers; with ``queries_only`` a gradient reaches the query tower alone."""
    with torch.set_grad_enabled(torch.is_grad_enabled() and not queries_only):
        encoded = towers.items(batch.item_rows, batch.id_kept)
        candidates = towers.candidates(
            encoded[batch.candidate_at], batch.candidate_features, batch.candidate_log_prior
        )
        targets = towers.candidates(
            encoded[batch.points.target_at], batch.target_features, batch.target_log_prior
        )
    return Embedded(encoded, candidates, targets, _queries(towers, batch, encoded))


def _queries(towers: TwoTower, batch: Batch, encoded: Tensor) -> Tensor:
    """One pass of the encoder for all requests: first the points', then the inner ones."""
    events = Events(encoded[batch.event_at], batch.layout, batch.age_s, batch.watch_ratio)
    asked = [batch.points] if batch.inner is None else [batch.points, batch.inner]
    requests = Requests(
        torch.cat([points.after for points in asked]),
        torch.cat([points.gap_s for points in asked]),
        torch.cat([points.window for points in asked]),
    )
    queries: Tensor = towers.queries(events, requests)
    return queries


def of_all_ranks(embeddings: Tensor, batch: Batch) -> Tensor:
    """(A, D): this rank's candidates beside those of all others, where there are others."""
    if not has_ranks():
        return embeddings
    return gathered_share(embeddings, n_rows=len(batch.candidate_rows))


def of_queries(mean: Tensor, n_queries: int) -> Tensor:
    """A rank's mean as its part in the mean of all ranks: some have more requests than others."""
    return mean_over_ranks(mean, n_queries=n_queries) if has_ranks() else mean
