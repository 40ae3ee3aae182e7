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
Floats64 = npt.NDArray[np.float64]

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
    n_ranks: int = 1  # share each batch: rank r has its examples r, r + n_ranks, …, or none

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

        With several ranks: this rank's share of the examples and of the candidates. All is drawn
        as one rank draws it, so the ranks' batches together are the batch of one rank.
        """
        luck = self._luck(len(which), rng)
        of_all = self._points(which, luck)
        drawn = self._drawn(of_all, rng)  # (A,)
        own, points = which, of_all
        if self.n_ranks > 1:
            mine = slice(self.rank, None, self.n_ranks)
            own, points = which[mine], self._points(which[mine], luck[mine])
        log, cut = self.examples.log, int(self.examples.cut_of[which[0]])
        starts = self._starts(own)
        history, event = ranges(starts, self._ends(own))
        inner = self._inner(own, starts) if self.inner else None
        parts = [
            np.array_split(drawn, self.n_ranks)[self.rank],
            log.item_rows[event],
            log.item_rows[points.target],
        ]
        if inner is not None:
            parts.append(log.item_rows[inner.target])
        item_rows, at = np.unique(np.concatenate(parts), return_inverse=True)
        places = np.split(at, np.cumsum([len(part) for part in parts])[:-1])
        found = self.candidates.at(int(self.examples.cuts[cut]), item_rows)
        log_q = self._log_q(cut, item_rows, n_drawn=len(drawn))
        age = (self.examples.query_ts[own][history] - log.ts[event]) / MICROSECONDS
        return Batch(
            item_rows=torch.from_numpy(item_rows),
            id_kept=_tensor(self._ids_kept(item_rows, which, drawn, of_all.target, rng)),
            candidate_at=torch.from_numpy(places[0]),
            candidate_features=_tensor(found.features[places[0]]),
            candidate_log_prior=_tensor(found.log_prior[places[0]]),
            candidate_rows=torch.from_numpy(drawn),
            log_q=_tensor(self._log_q(cut, drawn, n_drawn=len(drawn))),
            all_items=self.all_items,
            hits=self._hits(own, drawn),
            event_at=torch.from_numpy(places[1]),
            layout=Packed.of(torch.from_numpy(self._ends(own) - starts)),
            age_s=_tensor(age),
            watch_ratio=_tensor(log.watch_ratio[event]),
            points=points.tensors(places[2], log_q),
            target_features=_tensor(found.features[places[2]]),
            target_log_prior=_tensor(found.log_prior[places[2]]),
            target_watch_ratio=_tensor(log.watch_ratio[points.target]),
            target_propensity=_tensor(log.propensity[points.target]),
            inner=None if inner is None else inner.tensors(places[3], log_q),
            examples=torch.from_numpy(own),
        )

    def _starts(self, which: Ints) -> Ints:
        """Where the last ``history_length`` events of each history begin."""
        return np.maximum(self.examples.starts[which], self._ends(which) - self.history_length)

    def _ends(self, which: Ints) -> Ints:
        return self.examples.ends[which]

    def _luck(self, n: int, rng: np.random.Generator) -> Floats64:
        """(n,) in [0, 1): which of its targets an example has, where it has one of them."""
        return np.zeros(n) if self.examples.every_position else rng.random(n)

    def _points(self, which: Ints, luck: Floats64) -> "_Places":
        """The requests of the examples: one each, or one before every target."""
        examples, starts, ends = self.examples, self._starts(which), self._ends(which)
        first, last = examples.target_starts[which], examples.target_ends[which]
        if examples.every_position:
            return self._next_events(starts, ends, first, last)
        target = first + (luck * (last - first)).astype(np.int64)
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

    def _drawn(self, points: "_Places", rng: np.random.Generator) -> Ints:
        """(A,) the in-batch negatives, then the uniform ones; or the whole catalogue."""
        n_items = len(self.examples.log.items)
        if self.all_items:
            return np.arange(n_items)
        targets = self.examples.log.item_rows[points.target]
        if len(targets) > self.batch_size:
            targets = rng.choice(targets, size=self.batch_size, replace=False)
        return np.concatenate([targets, rng.integers(0, n_items, size=self.n_uniform)])

    def _ids_kept(
        self, own_rows: Ints, which: Ints, drawn: Ints, targets: Ints, rng: np.random.Generator
    ) -> npt.NDArray[np.bool_]:
        """(N, 1) whether an item's id is seen: drawn once for each item of all ranks."""
        if self.n_ranks == 1:
            return rng.random((len(own_rows), 1)) >= self.id_dropout
        log, starts = self.examples.log, self._starts(which)
        at = [ranges(starts, self._ends(which))[1], targets]
        if self.inner:
            at.append(self._inner(which, starts).target)
        of_all = np.unique(np.concatenate([drawn, log.item_rows[np.concatenate(at)]]))
        kept: npt.NDArray[np.bool_] = rng.random((len(of_all), 1)) >= self.id_dropout
        return kept[np.searchsorted(of_all, own_rows)]

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
