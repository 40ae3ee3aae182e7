"""Batches as a pure function of (seed, step): any step can be made again, on any machine."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from recbench.models.candidate_features import CandidatesAt
from recbench.models.encoders.layout import Packed
from recbench.training.batch import Batch, Points
from recbench.training.examples import Examples, ranges
from recbench.training.target_shares import TargetShares

__all__ = ["Batches", "EndlessBatches"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

MICROSECONDS = 1e6


@dataclass(frozen=True, eq=False)
class Batches:
    """How steps are drawn from examples.

    A batch holds examples of one cut, so that its candidates share one snapshot. Candidates are
    the batch's targets (in-batch negatives, up to ``batch_size`` of them) and ``n_uniform`` items
    drawn alike.
    """

    examples: Examples
    candidates: CandidatesAt
    request_windows: Floats  # (E, W) as of each example's request; (0, W) with `every_position`
    click_windows: Floats  # (N, W) as of each click of the log; (0, W) where not needed
    shares: TargetShares
    batch_size: int
    n_uniform: int
    history_length: int
    id_dropout: float
    repeats: bool  # whether items of the history stay negatives
    inner: bool  # whether the next events within histories are targets, too
    all_items: bool  # whether the candidates are the whole catalogue
    seed: int
    rank: int = 0
    n_ranks: int = 1  # share each batch: rank r has its examples r, r + n_ranks, …

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

    @cached_property
    def _seen_ends(self) -> Ints:
        """(N,) for each click of the log: the end of what its user had clicked strictly before."""
        log = self.examples.log
        return log.queries(log.users.ids[log.user_rows], log.ts).ends

    def from_step(self, step: int) -> Iterator[Batch]:
        """Batch ``step`` and all after it, without end."""
        while True:
            number, within = divmod(step, self.steps_per_epoch)
            for which in self.epoch(number)[within:]:
                yield self.batch(which, np.random.default_rng([self.seed, 1, step]))
                step += 1

    def batch(self, which: Ints, rng: np.random.Generator) -> Batch:
        """The chosen examples: each with one of its clicks as target, or with all of them.

        With several ranks: this rank's share of the examples, beside the candidates of all.
        """
        shares = _shares_of_ranks(which, self.n_ranks)
        points_of = [self._points(share, rng) for share in shares]
        drawn = self._drawn(points_of, rng)  # (R, C)
        which, points = shares[self.rank], points_of[self.rank]
        log, cut = self.examples.log, int(self.examples.cut_of[which[0]])
        starts = self._starts(which)
        history, event = ranges(starts, self._ends(which))
        inner = self._inner(which, starts) if self.inner else None
        parts = [drawn[self.rank], log.item_rows[event], log.item_rows[points.target]]
        if inner is not None:
            parts.append(log.item_rows[inner.target])
        item_rows, at = np.unique(np.concatenate(parts), return_inverse=True)
        places = np.split(at, np.cumsum([len(part) for part in parts])[:-1])
        found = self.candidates.at(int(self.examples.cuts[cut]), item_rows)
        log_q = self._log_q(cut, item_rows, n_drawn=drawn.shape[1])
        of_all = drawn.ravel()
        age = (self.examples.query_ts[which][history] - log.ts[event]) / MICROSECONDS
        return Batch(
            item_rows=torch.from_numpy(item_rows),
            id_kept=_tensor(rng.random((len(item_rows), 1)) >= self.id_dropout),
            candidate_at=torch.from_numpy(places[0]),
            candidate_features=_tensor(found.features[places[0]]),
            candidate_log_prior=_tensor(found.log_prior[places[0]]),
            own_log_q=_tensor(log_q[places[0]]),
            candidate_rows=torch.from_numpy(of_all),
            log_q=_tensor(self._log_q(cut, of_all, n_drawn=drawn.shape[1])),
            all_items=self.all_items,
            hits=self._hits(which, of_all),
            event_at=torch.from_numpy(places[1]),
            layout=Packed.of(torch.from_numpy(self._ends(which) - starts)),
            age_s=_tensor(age),
            watch_ratio=_tensor(log.watch_ratio[event]),
            points=points.tensors(places[2], log_q),
            target_features=_tensor(found.features[places[2]]),
            target_log_prior=_tensor(found.log_prior[places[2]]),
            target_watch_ratio=_tensor(log.watch_ratio[points.target]),
            inner=None if inner is None else inner.tensors(places[3], log_q),
        )

    def _starts(self, which: Ints) -> Ints:
        """Where the last ``history_length`` events of each history begin."""
        return np.maximum(self.examples.starts[which], self._ends(which) - self.history_length)

    def _ends(self, which: Ints) -> Ints:
        return self.examples.ends[which]

    def _points(self, which: Ints, rng: np.random.Generator) -> "_Places":
        """The requests of the examples: one each, or one before every target."""
        examples, starts, ends = self.examples, self._starts(which), self._ends(which)
        first, last = examples.target_starts[which], examples.target_ends[which]
        if examples.every_position:
            return self._next_events(starts, ends, first, last)
        target = first + (rng.random(len(which)) * (last - first)).astype(np.int64)
        gap = examples.query_ts[which] - examples.log.ts[ends - 1]
        after = np.cumsum(ends - starts) - 1
        history = np.arange(len(which))
        return _Places(target, after, gap, history, self.request_windows[which])

    def _inner(self, which: Ints, starts: Ints) -> "_Places":
        """The events of the histories as targets, each after what was strictly before it."""
        ends = self._ends(which)
        return self._next_events(starts, ends, starts + 1, ends)

    def _next_events(self, starts: Ints, ends: Ints, first: Ints, last: Ints) -> "_Places":
        """Targets ``first`` to ``last`` of histories ``starts`` to ``ends`` that see an event."""
        log = self.examples.log
        history, target = ranges(first, np.maximum(first, last))
        seen = self._seen_ends[target] - 1  # the place in the log of the last event that is seen
        kept = seen >= starts[history]
        history, target, seen = history[kept], target[kept], seen[kept]
        offset = np.cumsum(ends - starts) - (ends - starts)
        after = offset[history] + seen - starts[history]
        gap = log.ts[target] - log.ts[seen]
        return _Places(target, after, gap, history, self.click_windows[target])

    def _drawn(self, points_of: list["_Places"], rng: np.random.Generator) -> Ints:
        """(R, C) each rank's in-batch negatives, then its uniform ones; or the whole catalogue."""
        n_items = len(self.examples.log.items)
        if self.all_items:
            return np.arange(n_items)[None]
        kept = min(self.batch_size, *(len(points.target) for points in points_of))
        drawn = []
        for points in points_of:
            targets = self.examples.log.item_rows[points.target]
            if len(targets) > kept:
                targets = rng.choice(targets, size=kept, replace=False)
            drawn.append(np.concatenate([targets, rng.integers(0, n_items, size=self.n_uniform)]))
        return np.stack(drawn)

    def _log_q(self, cut: int, item_rows: Ints, *, n_drawn: int) -> Floats:
        """(N,) log of each item's expected share of the draws; 0 where all items are there."""
        if self.all_items:
            return np.zeros(len(item_rows), dtype=np.float32)
        n_targets, n_items = n_drawn - self.n_uniform, len(self.examples.log.items)
        expected = n_targets * self.shares.at(cut, item_rows) + self.n_uniform / n_items
        floor = np.finfo(np.float32).tiny
        return np.log(np.maximum(expected / n_drawn, floor)).astype(np.float32)

    def _hits(self, which: Ints, drawn: Ints) -> torch.Tensor | None:
        """(B, A) true where a candidate is another positive, or hidden by the history.

        None where only its own target is no negative of a request: under repeats what comes later
        may be shown now, and what came before again.
        """
        examples = self.examples
        if self.repeats and examples.every_position:
            return None
        starts = examples.target_starts[which] if self.repeats else examples.starts[which]
        owner, at = ranges(starts, examples.target_ends[which])
        distinct, column = np.unique(drawn, return_inverse=True)
        own = examples.log.item_rows[at]
        place = np.minimum(np.searchsorted(distinct, own), len(distinct) - 1)
        found = distinct[place] == own
        marked = np.zeros((len(which), len(distinct)), dtype=np.bool_)
        marked[owner[found], place[found]] = True
        return torch.from_numpy(marked[:, column])


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Requests as places in the log and in the batch's run of events."""

    target: Ints  # (P,) place in the log
    after: Ints  # (P,) place in the run of events
    gap_us: Ints  # (P,)
    history: Ints  # (P,)
    window: Floats  # (P, W)

    def tensors(self, target_at: Ints, log_q: Floats) -> Points:
        return Points(
            torch.from_numpy(self.after),
            _tensor(self.gap_us / MICROSECONDS),
            _tensor(self.window),
            torch.from_numpy(self.history),
            torch.from_numpy(target_at),
            _tensor(log_q[target_at]),
        )


def _shares_of_ranks(which: Ints, n_ranks: int) -> list[Ints]:
    """Each rank's examples, as many for each: the first ones are taken again to fill up."""
    filled = np.resize(which, -(-len(which) // n_ranks) * n_ranks)
    return [filled[rank::n_ranks] for rank in range(n_ranks)]


class EndlessBatches(Iterable[Batch]):
    """`Batches` for a trainer, from a given step on."""

    def __init__(self, batches: Batches, *, first_step: int = 0) -> None:
        """``first_step`` counts from the start of the training."""
        self.batches = batches
        self.first_step = first_step

    def __iter__(self) -> Iterator[Batch]:
        """Batches without end; the trainer counts the steps."""
        return self.batches.from_step(self.first_step)


def _tensor(array: npt.NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))
