"""The calls that every recommender answers, and the one way to make lists from them."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.index.exact import top_k
from recbench.tables.queries import Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Recommender", "as_frame", "recommend"]

QUERIES_PER_BATCH = 512


class Recommender(Protocol):
    """Anything that scores the catalogue for a query: a baseline, a network, a log."""

    @property
    def items(self) -> Vocabulary:
        """The catalogue; column i of the scores is item row i."""
        ...

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items), higher is better, -inf where an item must not be shown.

        A query's row does not depend on the others of the batch. A query without history gets
        scores, too. ``queries.items`` is this catalogue.
        """
        ...


def recommend(
    model: Recommender, queries: Queries, *, k: int = 20, repeats: bool = False
) -> pl.DataFrame:
    """``user_id, item_id, rank, score``: the k best items of each query, rank 1 first.

    Args:
        model: scores the catalogue.
        queries: their histories are masked unless ``repeats``.
        k: list length; shorter lists only where the catalogue runs out.
        repeats: whether an item of the history may be shown again.

    Raises:
        InputError: the queries speak of another catalogue than the model.
    """
    if queries.items != model.items:
        raise InputError(
            f"Queries and model have different catalogues: {queries.items!r}, {model.items!r}"
        )
    frames = []
    for start in range(0, len(queries), QUERIES_PER_BATCH):
        batch = queries.take(slice(start, start + QUERIES_PER_BATCH))
        excluded = None if repeats else _coordinates(batch)
        rows, scores = top_k(model.score_items(batch), k=k, excluded=excluded)
        frames.append(as_frame(batch.user_ids, rows, scores, items=model.items))
    empty = pl.DataFrame(schema=c.RECOMMENDATION_DTYPES)
    return pl.concat([empty, *frames])


def as_frame(
    user_ids: npt.NDArray[np.int64],
    item_rows: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    *,
    items: Vocabulary,
) -> pl.DataFrame:
    """Lists of item rows (Q, k) as a frame of recommendations; row -1 is left out."""
    kept = item_rows.ravel() >= 0
    ranks = np.broadcast_to(np.arange(1, item_rows.shape[1] + 1), item_rows.shape).ravel()
    return pl.DataFrame(
        {
            c.USER_ID: np.repeat(user_ids, item_rows.shape[1])[kept],
            c.ITEM_ID: items.ids[item_rows.ravel()[kept]],
            c.RANK: ranks[kept],
            c.SCORE: scores.ravel()[kept],
        },
        schema=c.RECOMMENDATION_DTYPES,
    )


def _coordinates(queries: Queries) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    seen = queries.matrix().tocoo()
    return seen.row.astype(np.int64), seen.col.astype(np.int64)
