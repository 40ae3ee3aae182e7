"""Policy gradient on the query tower: what was shown by chance, and what it earned, moves requests.

The policy is the softmax of the towers' scores over all items. Its normaliser is estimated from the
batch's candidates, corrected for how often each is drawn; where a batch has all items, it is exact.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recbench.errors import InputError
from recbench.models.two_tower import TwoTower
from recbench.training.batch import Batch
from recbench.training.candidates import Candidates
from recbench.training.embedded import Embedded, embedded, of_all_ranks, of_queries
from recbench.training.losses import distillation_loss, log_q_corrected, reinforce_loss

__all__ = ["Reinforce"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reinforce:
    """REINFORCE with top-K off-policy correction; items and the candidate tower stay as they are.

    Raises:
        InputError: a dial outside its range, when made.
    """

    slate: int = 10  # K, the length of the lists that are shown
    cap: float = 10.0  # of importance weights
    watch_share: float = 0.0  # of the reward that is the watched share; the rest is the click
    parent_weight: float = 0.5  # of agreeing with the towers that these come from

    def __post_init__(self) -> None:
        """Refuse what is no correction."""
        if self.slate < 1:
            raise InputError(f"`slate` must be at least 1, got {self.slate}")
        if not self.cap > 0:
            raise InputError(f"`cap` must be positive, got {self.cap}")
        if not 0 <= self.watch_share <= 1:
            raise InputError(f"`watch_share` must lie in [0, 1], got {self.watch_share}")

    def __call__(
        self,
        towers: TwoTower,
        batch: Batch,
        *,
        cached: Candidates | None = None,
        parent: TwoTower | None = None,
    ) -> tuple[Tensor, Candidates]:
        """The loss, and the candidates of all ranks; arguments as of ``Objective``.

        Requests whose target has no propensity teach nothing. Cached candidates are not used.
        """
        found = embedded(towers, batch, queries_only=True)
        n = len(found.targets)
        candidates, asked = of_all_ranks(found.candidates, batch), found.queries[:n]
        log_policy = _log_policy(found, candidates, batch)
        loss = reinforce_loss(
            log_policy,
            _rewards(batch, self.watch_share),
            batch.target_propensity,
            slate=self.slate,
            cap=self.cap,
        )
        loss = of_queries(loss, int((batch.target_propensity > 0).sum()))
        if parent is not None and self.parent_weight:
            with torch.no_grad():
                before = embedded(parent, batch)
                known = before.queries[:n] @ of_all_ranks(before.candidates, batch).T
            divergence = distillation_loss(asked @ candidates.T, known) if n else 0 * loss
            loss = loss + self.parent_weight * of_queries(divergence, n)
        return loss, Candidates(candidates.detach(), batch.candidate_rows, batch.log_q)


def _log_policy(found: Embedded, candidates: Tensor, batch: Batch) -> Tensor:
    """(P,) log softmax of the targets; at most 0, which an estimated normaliser may exceed."""
    asked = found.queries[: len(found.targets)]
    others = log_q_corrected(asked @ candidates.T, batch.log_q)
    if batch.hits is not None:  # what the history hides cannot be shown; the target can
        target_rows = batch.item_rows[batch.points.target_at]
        own = batch.candidate_rows == target_rows[:, None]
        others = others.masked_fill(batch.hits[batch.points.history] & ~own, -torch.inf)
    n_drawn = 1 if batch.all_items else len(batch.candidate_rows)
    normaliser = others.logsumexp(dim=1) - math.log(n_drawn)
    return ((asked * found.targets).sum(dim=1) - normaliser).clamp(max=0.0)


def _rewards(batch: Batch, watch_share: float) -> Tensor:
    """(P,) a click earns one, of which ``watch_share`` by how much was watched, where known."""
    watched = torch.where(batch.target_watch_ratio >= 0, batch.target_watch_ratio, 1.0)
    return (1 - watch_share) + watch_share * watched.clamp(max=1.0)
