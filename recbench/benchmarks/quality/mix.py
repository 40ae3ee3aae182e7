"""Weighted sums of models, and the weights that do best on a validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from recbench.evaluation.exam import Exam
from recbench.evaluation.ranking import evaluate
from recbench.evaluation.recommender import Recommender, as_frame
from recbench.tables.queries import Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Mix", "best_mix"]

Floats = npt.NDArray[np.float32]
QUERIES_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """The sum over models of ``weight * score / the query's largest |score|``."""

    models: Mapping[str, Recommender]
    weights: tuple[float, ...]

    @property
    def items(self) -> Vocabulary:
        """The catalogue of the first, which must be that of all."""
        return next(iter(self.models.values())).items

    def score_items(self, queries: Queries) -> Floats:
        """(Q, n_items)."""
        return _mixed([_scaled(m.score_items(queries)) for m in self.models.values()], self.weights)


def best_mix(
    models: Mapping[str, Recommender], exam: Exam, weights: Sequence[tuple[float, ...]]
) -> tuple[Mix, list[float]]:
    """The mix of the largest mean NDCG, and that of each; every model scores only once.

    Equal scores come in any order here.

    Args:
        models: of one catalogue.
        exam: its requests must have a history each.
        weights: those to try, one a model each.
    """
    queries, k = exam.queries, min(exam.k, len(exam.queries.items))
    lists: list[list[pl.DataFrame]] = [[] for _ in weights]
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        batch = queries.take(slice(start, start + QUERIES_AT_ONCE))
        scaled = [_scaled(model.score_items(batch)) for model in models.values()]
        seen = batch.matrix().tocoo()
        excluded = None if exam.repeats else (seen.row.astype(np.int64), seen.col.astype(np.int64))
        for tried, found in zip(weights, lists, strict=True):
            mixed = _mixed(scaled, tried)
            if excluded is not None:
                mixed[excluded] = -np.inf
            scores, rows = (part.numpy() for part in torch.from_numpy(mixed).topk(k, dim=1))
            found.append(as_frame(batch.user_ids, rows, scores, items=queries.items))
    values = [_ndcg(exam, pl.concat(found)) for found in lists]
    return Mix(models, weights[int(np.argmax(values))]), values


def _ndcg(exam: Exam, lists: pl.DataFrame) -> float:
    graded = evaluate(
        lists, train=exam.train, test=exam.test, repeats=exam.repeats, k=exam.k, resamples=0
    )
    return float(graded.values(f"ndcg@{exam.k}").to_numpy().mean())


def _scaled(scores: Floats) -> Floats:
    largest = np.abs(scores).max(axis=1, keepdims=True, initial=0.0)
    return np.asarray(scores / np.where(largest > 0, largest, 1.0), dtype=np.float32)


def _mixed(scaled: list[Floats], weights: tuple[float, ...]) -> Floats:
    total = np.zeros_like(scaled[0])
    for weight, scores in zip(weights, scaled, strict=True):
        if weight:
            total += np.float32(weight) * scores
    return total
