"""Batches as a pure function of (seed, step): any step can be made again, on any machine."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recbench.features.history import padded_histories
from recbench.models.candidate_features import CandidateFeatures
from recbench.training.examples import Examples, ranges

__all__ = ["Batch", "Batches", "EndlessBatches"]

Ints = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """B queries against C candidates; N distinct items occur in either."""

    item_rows: Tensor  # (N,) the items to encode
    id_kept: Tensor  # (N, 1) float 0 or 1: whether the id is seen, or content alone
    candidate_at: Tensor  # (C,) positions in item_rows
    candidate_features: Tensor  # (C, F)
    candidate_log_prior: Tensor  # (C,)
    log_q: Tensor  # (C,)
    history_at: Tensor  # (B, L) positions in item_rows, 0 where padded
    history_held: Tensor  # (B, L) float 0 or 1
    history_age_s: Tensor  # (B, L)
    window_features: Tensor  # (B, W)
    targets: Tensor  # (B,) columns of the candidates
    hits: Tensor  # (B, C) bool, not to be used as negatives


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """How steps are drawn from examples.

    A batch holds examples of one cut, so that its candidates share one snapshot. Candidates are
    the batch's targets (in-batch negatives) and ``n_uniform`` items drawn alike.
    """

    examples: Examples
    candidates: CandidateFeatures
    window_features: npt.NDArray[np.float32]  # (E, W)
    target_shares: npt.NDArray[np.float32]  # (S, n_items)
    batch_size: int
    n_uniform: int
    history_length: int
    id_dropout: float
    repeats: bool  # whether items of the history stay negatives
    seed: int

    def epoch(self, number: int) -> list[Ints]:
        """The batches of one pass over all examples, in the order in which they are drawn."""
        rng = np.random.default_rng([self.seed, 0, number])
        order = rng.permutation(len(self.examples))
        order = order[np.argsort(self.examples.cut_of[order], kind="stable")]
        bounds = np.flatnonzero(np.diff(self.examples.cut_of[order])) + 1
        chunks = [
            chunk
            for of_cut in np.split(order, bounds)
            for chunk in np.array_split(of_cut, -(-len(of_cut) // self.batch_size))
        ]
        return [chunks[at] for at in rng.permutation(len(chunks))]

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over all examples."""
        counts = np.bincount(self.examples.cut_of)
        return int((-(-counts // self.batch_size)).sum())

    def from_step(self, step: int) -> Iterator[Batch]:
        """Batch ``step`` and all after it, without end."""
        while True:
            number, within = divmod(step, self.steps_per_epoch)
            for which in self.epoch(number)[within:]:
                yield self.batch(which, np.random.default_rng([self.seed, 1, step]))
                step += 1

    def batch(self, which: Ints, rng: np.random.Generator) -> Batch:
        """The chosen examples, each with one of its clicks as target."""
        examples, log = self.examples, self.examples.log
        starts, ends = examples.target_starts[which], examples.target_ends[which]
        targets = log.item_rows[
            starts + (rng.random(len(which)) * (ends - starts)).astype(np.int64)
        ]
        uniform = rng.integers(0, len(log.items), size=self.n_uniform)
        drawn = np.concatenate([targets, uniform])
        cut = int(examples.cut_of[which[0]])
        share = self.target_shares[cut, drawn]
        log_q = np.log((len(which) * share + self.n_uniform / len(log.items)) / len(drawn))
        histories = padded_histories(examples.queries(which), length=self.history_length)
        needed = np.concatenate([drawn, np.maximum(histories.item_rows, 0).ravel()])
        item_rows, at = np.unique(needed, return_inverse=True)
        return _tensors(
            item_rows=item_rows,
            id_kept=(rng.random((len(item_rows), 1)) >= self.id_dropout).astype(np.float32),
            candidate_at=at[: len(drawn)],
            candidate_features=self.candidates.features[cut, drawn],
            candidate_log_prior=self.candidates.log_prior[cut, drawn],
            log_q=log_q.astype(np.float32),
            history_at=at[len(drawn) :].reshape(histories.item_rows.shape),
            history_held=(histories.item_rows >= 0).astype(np.float32),
            history_age_s=histories.age_s,
            window_features=self.window_features[which],
            targets=np.arange(len(which)),
            hits=self._hits(which, drawn),
        )

    def _hits(self, which: Ints, drawn: Ints) -> npt.NDArray[np.bool_]:
        """(B, C) true where a candidate is another positive, or hidden by the history."""
        examples = self.examples
        starts = examples.target_starts[which] if self.repeats else examples.starts[which]
        owner, at = ranges(starts, examples.target_ends[which])
        distinct, column = np.unique(drawn, return_inverse=True)
        own = examples.log.item_rows[at]
        place = np.minimum(np.searchsorted(distinct, own), len(distinct) - 1)
        found = distinct[place] == own
        marked = np.zeros((len(which), len(distinct)), dtype=np.bool_)
        marked[owner[found], place[found]] = True
        marked[np.arange(len(which)), column[: len(which)]] = True  # the target drawn again
        hits = marked[:, column]
        hits[np.arange(len(which)), np.arange(len(which))] = False
        return hits


class EndlessBatches(Iterable[Batch]):
    """`Batches` for a trainer, from a given step on."""

    def __init__(self, batches: Batches, *, first_step: int = 0) -> None:
        """``first_step`` counts from the start of the training."""
        self.batches = batches
        self.first_step = first_step

    def __iter__(self) -> Iterator[Batch]:
        """Batches without end; the trainer counts the steps."""
        return self.batches.from_step(self.first_step)


def _tensors(**arrays: npt.NDArray[Any]) -> Batch:
    return Batch(**{name: torch.from_numpy(array) for name, array in arrays.items()})
