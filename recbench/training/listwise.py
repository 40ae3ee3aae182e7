"""Train a ranker over lists: the relevant candidates of each list against all of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recbench.errors import InputError
from recbench.models.ranking.network import ListwiseRanker

__all__ = ["RankedLists", "fit_ranker", "listwise_loss"]


@dataclass(frozen=True, slots=True, eq=False)
class RankedLists:
    """Q lists of C candidates as of one instant, and what was taken afterwards."""

    features: npt.NDArray[np.float32]  # (Q, C, F)
    held: npt.NDArray[np.bool_]  # (Q, C)
    relevant: npt.NDArray[np.bool_]  # (Q, C)

    def useful(self) -> "RankedLists":
        """Lists with something relevant and something that is not."""
        n_relevant, n_held = self.relevant.sum(axis=1), self.held.sum(axis=1)
        kept = (n_relevant > 0) & (n_relevant < n_held)
        return RankedLists(self.features[kept], self.held[kept], self.relevant[kept])


def listwise_loss(scores: Tensor, held: Tensor, relevant: Tensor) -> Tensor:
    """Mean over lists of the relevant candidates' mean cross-entropy against the whole list.

    Args:
        scores: (Q, C).
        held: (Q, C) where there is a candidate.
        relevant: (Q, C), at least one in each list.
    """
    log_share = scores.masked_fill(~held, -torch.inf).log_softmax(dim=1)
    of_relevant = log_share.masked_fill(~relevant, 0.0).sum(dim=1) / relevant.sum(dim=1)
    return -of_relevant.mean()


def fit_ranker(
    lists: Sequence[RankedLists],
    *,
    epochs: int = 6,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-3,
    hidden_dim: int = 64,
    prior: npt.NDArray[np.float32] | None = None,
    seed: int = 0,
) -> ListwiseRanker:
    """A ranker after ``epochs`` over all lists, in eval mode; a seed gives one result.

    The rate rises and falls over one cycle. A batch is of one instant, whose lists have one width.

    Args:
        lists: of one or more instants, with one width of features.
        epochs: over all lists, at least 1.
        batch_size: lists a step.
        learning_rate: the largest, of AdamW.
        weight_decay: of AdamW.
        hidden_dim: of both layers.
        prior: (F,) weights of features that give a good order to start from; default: none do.
        seed: of weights, dropout and order.

    Raises:
        InputError: no list has both what is relevant and what is not.
    """
    useful = [kept for each in lists if len((kept := each.useful()).features)]
    if not useful:
        raise InputError(f"None of {sum(len(o.features) for o in lists)} lists can be learned from")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        ranker = ListwiseRanker(useful[0].features.shape[-1], hidden_dim=hidden_dim)
        every = np.concatenate([each.features[each.held] for each in useful])
        ranker.standardise(torch.from_numpy(every))
        del every
        if prior is not None:
            ranker.start_at(torch.from_numpy(prior))
        order = np.random.default_rng(seed)
        n_steps = epochs * sum(-(-len(each.features) // batch_size) for each in useful)
        optimizer = torch.optim.AdamW(
            ranker.parameters(), lr=learning_rate, weight_decay=weight_decay
        )
        rates = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, learning_rate, total_steps=n_steps + 1
        )
        ranker.train()
        for _ in range(epochs):
            for each, which in _batches(useful, batch_size, order):
                features, held, relevant = (
                    torch.from_numpy(part[which])
                    for part in (each.features, each.held, each.relevant)
                )
                optimizer.zero_grad()
                loss: Tensor = listwise_loss(ranker(features), held, relevant)
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
                optimizer.step()
                rates.step()
    return ranker.eval()


def _batches(
    lists: Sequence[RankedLists], size: int, order: np.random.Generator
) -> list[tuple[RankedLists, npt.NDArray[np.int64]]]:
    """Every list once, the instants mixed."""
    batches = []
    for each in lists:
        shuffled = order.permutation(len(each.features))
        batches += [(each, shuffled[at : at + size]) for at in range(0, len(shuffled), size)]
    return [batches[at] for at in order.permutation(len(batches))]
