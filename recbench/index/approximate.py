"""Approximate top-k: faiss proposes candidates, their exact products decide.

faiss holds each embedding in a few bytes and proposes more rows than asked for. What may not be
shown is taken out, the rest is scored with the embeddings themselves. Where too few rows are left,
or so few may be shown that a plain product is cheaper, every candidate that may be shown is scored.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from recbench.errors import InputError
from recbench.files import whole_file
from recbench.index.checks import check_candidates, check_finite, check_rows, check_search
from recbench.index.considered import (
    Pairs,
    best_of_each,
    by_query,
    has_nan,
    outside,
    overlaid,
    products,
)
from recbench.index.exact import largest
from recbench.index.protocol import Bools, Floats, Ints
from recbench.index.quantised import Codes, Quantised, quantised, saved, written
from recbench.index.trained import Trained

__all__ = ["ApproximateIndex", "ApproximateSettings"]

NOTHING: Ints = np.empty(0, dtype=np.int64)
NO_TABLE: Ints = np.empty((0, 0), dtype=np.int64)
NO_SCORES: Floats = np.empty((0, 0), dtype=np.float32)
SCORED_WHOLE = 16_384  # rows that may be shown: up to here a plain product is cheaper


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproximateSettings:
    """How the catalogue is divided, stored and searched; plain data, for a manifest."""

    codes: Codes = "pq4"  # half a byte for two dimensions; "fp16": two bytes a dimension
    n_lists: int = 0  # cells of the catalogue, of which a query visits some; 0: it visits all
    n_probes: int = 0  # cells visited
    oversample: int = 25  # rows proposed for one asked for

    def __post_init__(self) -> None:
        """Refuse what could not be searched."""
        if self.codes not in {"pq4", "fp16"}:
            raise InputError(f"`codes` must be 'pq4' or 'fp16', got {self.codes!r}")
        if self.oversample < 1:
            raise InputError(f"`oversample` must be at least 1, got {self.oversample}")
        if not (self.n_lists == self.n_probes == 0 or 1 <= self.n_probes <= self.n_lists):
            raise InputError(
                f"`n_probes` must be from 1 to `n_lists`, or both 0, got {self.n_probes} of "
                f"{self.n_lists}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Recent:
    """Candidates that came or changed after faiss saw the catalogue: always scored exactly."""

    rows: Ints = field(default_factory=lambda: NOTHING)  # (N,) ascending, none hidden
    embeddings: Floats = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class ApproximateIndex:
    """A catalogue in faiss, what changed since, and what is hidden; see `Index` for the calls."""

    settings: ApproximateSettings
    held: Floats  # (C, D) float32 or float16: the embeddings that faiss saw; shared, never copied
    proposals: Quantised  # the same embeddings in few bytes
    n_rows: int
    recent: _Recent = field(default_factory=_Recent)
    shown: Bools | None = None  # (C,) neither hidden nor changed since; None: all

    @classmethod
    def build(
        cls,
        candidate_embeddings: Floats,
        settings: ApproximateSettings,
        *,
        hidden: Ints = NOTHING,
        trained: Trained | None = None,
    ) -> Self:
        """Of (C, D) embeddings, which are kept as they are: float32, or float16 for half the bytes.

        The same embeddings give the same index.

        Args:
            candidate_embeddings: finite, by item row.
            settings: how.
            hidden: rows never to be returned.
            trained: of an index with these settings, built before; default: learned now.

        Raises:
            InputError: embeddings that are not finite, or fewer than there are to be cells; or
                ``trained`` is of other settings.
        """
        check_finite(candidate_embeddings)
        proposals = quantised(
            candidate_embeddings, settings.codes, n_lists=settings.n_lists, trained=trained
        )
        built = cls(settings, candidate_embeddings, proposals, len(candidate_embeddings))
        return built.without(hidden) if len(hidden) else built

    @classmethod
    def load(
        cls,
        path: Path,
        candidate_embeddings: Floats,
        settings: ApproximateSettings,
        *,
        hidden: Ints = NOTHING,
    ) -> Self:
        """What ``save`` wrote, over the embeddings that it was built of.

        Raises:
            InputError: the file is of another catalogue, or no index.
        """
        n_rows, dim = candidate_embeddings.shape
        proposals = saved(path, n_rows=n_rows, dim=dim)
        loaded = cls(settings, candidate_embeddings, proposals, n_rows)
        return loaded.without(hidden) if len(hidden) else loaded

    def save(self, path: Path) -> None:
        """What faiss holds; later changes and hidden rows are not in the file."""
        with whole_file(path) as draft:
            written(self.proposals, draft)

    def release(self) -> None:
        """Free what faiss holds, without the pause of leaving it to Python.

        Python frees it holding its lock: 37 ms for a million candidates in cells, during which no
        other thread answers. Nobody may search this index, or one that shares with it, any more.
        """
        self.proposals.release()

    def __len__(self) -> int:
        """The number of item rows, hidden ones included."""
        return self.n_rows

    @property
    def trained(self) -> Trained:
        """What was learned of the embeddings that faiss saw."""
        return self.proposals.trained

    @property
    def n_recent(self) -> int:
        """Candidates that faiss has not seen as they are; each costs a product with every query."""
        return len(self.recent.rows)

    @property
    def n_bytes(self) -> int:
        """Embeddings, codes, and what changed since."""
        recent = self.recent.rows.nbytes + self.recent.embeddings.nbytes
        mask = 0 if self.shown is None else self.shown.nbytes
        return int(self.held.nbytes + self.proposals.n_bytes + recent + mask)

    def with_candidates(self, item_rows: Ints, candidate_embeddings: Floats) -> Self:
        """As `Index` says; the cost is that of ``n_recent``, so rebuild when that has grown."""
        check_candidates(item_rows, candidate_embeddings, n_rows=self.n_rows)
        if candidate_embeddings.shape[1] != self.held.shape[1]:
            raise InputError(
                f"Embeddings have {candidate_embeddings.shape[1]} dimensions, the index "
                f"{self.held.shape[1]}"
            )
        parted = self.without(item_rows[item_rows < self.n_rows])
        rows = np.concatenate([parted.recent.rows, item_rows])
        embeddings = np.concatenate(
            [parted.recent.embeddings.reshape(-1, self.held.shape[1]), candidate_embeddings]
        )
        order = np.argsort(rows)
        n_rows = max(self.n_rows, int(item_rows.max(initial=-1)) + 1)
        return replace(parted, recent=_Recent(rows[order], embeddings[order]), n_rows=n_rows)

    def without(self, item_rows: Ints) -> Self:
        """As `Index` says."""
        check_rows(item_rows, n_rows=self.n_rows)
        shown = np.ones(len(self.held), dtype=np.bool_) if self.shown is None else self.shown.copy()
        shown[item_rows[item_rows < len(self.held)]] = False
        stays = ~np.isin(self.recent.rows, item_rows)
        recent = _Recent(self.recent.rows[stays], self.recent.embeddings[stays])
        return replace(self, shown=shown, recent=recent)

    def search(
        self,
        query_embeddings: Floats,
        *,
        k: int,
        excluded: tuple[Ints, Ints] | None = None,
        allowed: Bools | None = None,
    ) -> tuple[Ints, Floats]:
        """As `Index` says: which rows are proposed is approximate, all else exact."""
        check_search(query_embeddings, allowed, dim=self.held.shape[1], n_rows=self.n_rows)
        if k < 1:
            raise InputError(f"`k` must be at least 1, got {k}")
        if has_nan(query_embeddings):
            raise InputError(f"{np.isnan(query_embeddings).any(axis=1).sum()} queries are NaN")
        open_rows = self._open(allowed)
        proposed = self._proposed(query_embeddings, k, open_rows, excluded)
        best = NO_TABLE, NO_SCORES
        if proposed is not None and not len(self.recent.rows):
            best = best_of_each(self.held, proposed, query_embeddings, k)
            if best[0].shape[1] == k and (best[0][:, -1] >= 0).all():
                return best
        rows, scores = _filled_up(*best, shape=(len(query_embeddings), k))
        left = np.flatnonzero(rows[:, -1] < 0)
        if len(left):
            seen = by_query(excluded, len(query_embeddings))
        for at in left.tolist():
            barred = _Barred(open_rows, allowed, np.sort(seen[at]))
            some = None if proposed is None else proposed[at][proposed[at] >= 0]
            one, its_scores = self._best(query_embeddings[at], k, some, barred)
            rows[at, : len(one)], scores[at, : len(one)] = one, its_scores
        return rows, scores

    def _open(self, allowed: Bools | None) -> Bools | None:
        """(C,) what faiss may propose; None: everything."""
        if allowed is None:
            return self.shown
        among = allowed[: len(self.held)]
        return among if self.shown is None else among & self.shown

    def _proposed(
        self,
        queries: Floats,
        k: int,
        open_rows: Bools | None,
        excluded: tuple[Ints, Ints] | None,
    ) -> Ints | None:
        """(Q, N) rows worth scoring for each query, -1 for what is barred; None: all that are open.

        What a user has seen is among the best, so a few more are asked for, and for some queries
        again for more: only where what was seen leaves too few.
        """
        n_open = len(self.held) if open_rows is None else int(np.count_nonzero(open_rows))
        if n_open <= SCORED_WHOLE:
            return None
        seen = Pairs.of(excluded, n_rows=self.n_rows, n_queries=len(queries))
        effort, n_seen = k * self.settings.oversample, seen.most
        n_more, crowded = min(n_seen, effort // 8), 1.0
        found, short = NO_TABLE, np.arange(len(queries))
        while True:
            spread = crowded * len(self.held) / n_open
            asked = self._asked(queries[short], effort + n_more, spread, n_open, open_rows)
            if asked is None:
                return None
            if open_rows is not None and not self.proposals.filters:
                asked[~open_rows[asked]] = -1
            np.putmask(asked, seen.among(short, asked), -1)
            found = overlaid(found, short, asked) if len(short) < len(queries) else asked
            short = short[np.add.reduce(asked >= 0, axis=1) < effort]
            if not len(short) or n_more == n_seen:
                return found
            n_more = min(n_seen, 4 * max(n_more, 1))
            crowded = (effort + n_more) / effort

    def _asked(
        self, queries: Floats, n_wanted: int, spread: float, n_open: int, open_rows: Bools | None
    ) -> Ints | None:
        """(Q, n_wanted) or more rows that faiss proposes; None: scoring all is cheaper.

        Cells are divided by taste, and so is what is barred: the more it is, the wider what is left
        is ``spread`` over cells, and the more of them are visited.
        """
        n_probes = min(self.settings.n_lists, int(np.ceil(self.settings.n_probes * spread)))
        if not self.proposals.filters:
            n_wanted = int(n_wanted * len(self.held) / n_open)
        if n_wanted > n_open // 4:
            return None
        return self.proposals.search(queries, n_wanted, open_rows=open_rows, n_probes=n_probes)

    def _best(
        self, query: Floats, k: int, proposed: Ints | None, barred: "_Barred"
    ) -> tuple[Ints, Floats]:
        """The k best rows of one query, or fewer, among what is proposed; None: among all."""
        if proposed is None:
            rows = outside(barred.open_of(len(self.held)), barred.seen)
        else:
            rows = np.sort(proposed)  # ties go to the lower row
        scores = products(self.held, rows, query)
        if len(self.recent.rows):
            recent = ~np.isin(self.recent.rows, barred.seen)
            if barred.allowed is not None:
                recent &= barred.allowed[self.recent.rows]
            rows = np.concatenate([rows, self.recent.rows[recent]])
            order = np.argsort(rows)
            scores = np.concatenate([scores, self.recent.embeddings[recent] @ query])[order]
            rows = rows[order]
        at = largest(scores, k)
        if proposed is not None and len(at) < k:
            return self._best(query, k, None, barred)
        return rows[at], scores[at]


class _Barred(NamedTuple):
    """What one query may not be shown."""

    open_rows: Bools | None  # (C,) of what faiss holds; None: all open
    allowed: Bools | None  # (C + new,)
    seen: Ints

    def open_of(self, n_rows: int) -> Ints:
        return np.arange(n_rows) if self.open_rows is None else np.flatnonzero(self.open_rows)


def _filled_up(rows: Ints, scores: Floats, *, shape: tuple[int, int]) -> tuple[Ints, Floats]:
    """As large as ``shape``, with -1 and -inf where there was nothing."""
    more_rows, more_scores = np.full(shape, -1), np.full(shape, -np.inf, dtype=np.float32)
    more_rows[: len(rows), : rows.shape[1]] = rows
    more_scores[: len(rows), : rows.shape[1]] = scores
    return more_rows, more_scores
