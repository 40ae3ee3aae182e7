"""The first stage: the union of what several retrievers would show."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.evaluation.recommender import Recommender
from recbench.tables.queries import Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Candidates", "Retrievers", "best_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """C candidates for each of Q queries, ascending rows; shorter lists end in -1."""

    rows: npt.NDArray[np.int64]  # (Q, C)
    scores: npt.NDArray[
        np.float32
    ]  # (Q, C, R) of every retriever, whoever brought the item; 0 at -1

    @property
    def held(self) -> npt.NDArray[np.bool_]:
        """(Q, C) where there is a candidate."""
        return self.rows >= 0


@dataclass(frozen=True, slots=True, eq=False)
class Retrievers:
    """Named models as of one instant, of which each brings its best."""

    models: Mapping[str, Recommender]
    n_each: int  # candidates of each
    repeats: bool  # whether an item of the history is a candidate
    untold: frozenset[str] = frozenset()  # whose scores a ranker is not told: it knows better ones

    def __post_init__(self) -> None:
        """All must speak of one catalogue."""
        if not self.models or self.n_each < 1:
            raise InputError(
                f"A union needs retrievers that bring something, got {list(self.models)} with "
                f"{self.n_each} items each"
            )
        catalogues = {id(m): m.items for m in self.models.values()}.values()
        if any(items != self.items for items in catalogues):
            raise InputError(f"Retrievers have different catalogues: {list(catalogues)}")

    @property
    def items(self) -> Vocabulary:
        """The catalogue of all."""
        return next(iter(self.models.values())).items

    @property
    def told(self) -> list[str]:
        """The names of those whose scores candidates carry, in their order."""
        return [name for name in self.models if name not in self.untold]

    def candidates(self, queries: Queries) -> Candidates:
        """The union of each retriever's ``n_each`` best; a score of 0 or less brings nothing.

        A query's candidates do not depend on the others of the batch, but for the padding.
        """
        import torch  # what serves finds candidates by itself, one request at a time

        scores = [model.score_items(queries) for model in self.models.values()]
        wanted = np.zeros((len(queries), len(self.items)), dtype=bool)
        n_each = min(self.n_each, len(self.items))
        seen = None if self.repeats else queries.matrix().tocoo()
        for of_model in scores:
            shown = of_model if seen is None else of_model.copy()
            if seen is not None:
                shown[seen.row, seen.col] = -np.inf
            # ten times as fast as numpy's partition where many scores are equal
            values, best = (
                found.numpy() for found in torch.from_numpy(shown).topk(n_each, dim=1, sorted=False)
            )
            tied = _tied(shown, values)
            values[tied] = 0.0
            query, place = np.nonzero(values > 0)
            wanted[query, best[query, place]] = True
            for row in tied:  # which of them topk takes is chance
                wanted[row, best_rows(shown[row], n_each)] = True
        told = [of for name, of in zip(self.models, scores, strict=True) if name not in self.untold]
        return _gathered(wanted, told)


def best_rows(scores: npt.NDArray[np.float32], n: int) -> npt.NDArray[np.int64]:
    """Rows of the ``n`` largest of (n_items,) scores above 0, in no order; of equal ones the lower.

    Fewer than ``n`` where fewer are above 0.
    """
    rows = np.flatnonzero(scores > 0)
    if len(rows) <= n:
        return rows
    found = scores[rows]
    least = np.partition(found, len(found) - n)[len(found) - n]
    above = rows[found > least]
    return np.concatenate([above, rows[found == least][: n - len(above)]])


def _tied(
    scores: npt.NDArray[np.float32], largest: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Queries whose least score among the largest is also that of an item left out."""
    least = largest.min(axis=1, keepdims=True)
    taken, there = (largest == least).sum(axis=1), (scores == least).sum(axis=1)
    return np.flatnonzero((there > taken) & (least[:, 0] > 0))


def _gathered(wanted: npt.NDArray[np.bool_], scores: list[npt.NDArray[np.float32]]) -> Candidates:
    query, row = np.nonzero(wanted)
    counts = np.bincount(query, minlength=len(wanted))
    place = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = int(counts.max(initial=1))
    rows = np.full((len(wanted), width), -1, dtype=np.int64)
    rows[query, place] = row
    found = np.zeros((len(wanted), width, len(scores)), dtype=np.float32)
    for number, of_model in enumerate(scores):
        found[query, place, number] = of_model[query, row]
    return Candidates(rows, found)
