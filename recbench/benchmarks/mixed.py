"""Whether served lists are those of the release that they name, computed anew from its files."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.errors import InputError
from recbench.refresh import Registry
from recbench.serving import ReleasedRecommender

__all__ = ["Verified", "verify_answers"]

TOLERANCE = 2e-3  # of a score, relative to the larger of it and 1: float16 has steps of 1e-3
LEAST_RECALL = 0.5  # of a single list, against exact search
KEY = ["release", "request"]


@dataclass(frozen=True, slots=True)
class Verified:
    """What a comparison of answers with their releases found."""

    n_answers: int
    n_mixed: int  # whose items or scores are not those of the release that they name
    recall: float  # share of each release's exact best that was served, on average
    n_releases: int


def verify_answers(
    answered: pl.DataFrame, users: npt.NDArray[np.int64], *, registry: Registry, k: int
) -> Verified:
    """Compare served lists with what each named release gives just after its watermark.

    An answer is mixed if an item of it is unknown to the release that it names, if a score is not
    that release's query times that release's candidate, or if it lacks more than half of the
    release's exact list, which an index that approximates does not do to a single list.

    Args:
        answered: columns ``release``, ``request``, ``items`` and ``scores``, without fallbacks.
        users: the user of each request, by its number.
        registry: has every release that is named.
        k: how many items were asked for.

    Raises:
        InputError: there is nothing to compare.
    """
    if not len(answered):
        raise InputError("There are no answers to verify")
    distinct = answered.group_by([*KEY, "items", "scores"]).len()
    n_mixed, found, wanted = 0, 0.0, 0.0
    for (release,), lists in distinct.group_by("release"):
        model = ReleasedRecommender.load(registry.open(str(release), verify=False))
        asked = np.unique(lists["request"].to_numpy())
        queries = model.query_embeddings(model.queries(users[asked]))
        exact = model.recommend(users[asked], k=k).group_by("user_id").agg("item_id")
        best = {user: set(items) for user, items in exact.iter_rows()}
        place = {request: row for row, request in enumerate(asked.tolist())}
        for request, items, scores, n in lists.select(
            "request", "items", "scores", "len"
        ).iter_rows():
            expected = best[int(users[request])]
            shared = len(expected & set(items))
            found, wanted = found + n * shared, wanted + n * len(expected)
            query = queries[place[request]]
            if shared < LEAST_RECALL * len(expected) or not _scores_fit(
                model, query, items, scores
            ):
                n_mixed += n
    n_releases = distinct["release"].n_unique()
    return Verified(len(answered), n_mixed, found / wanted if wanted else 1.0, n_releases)


def _scores_fit(
    model: ReleasedRecommender,
    query: npt.NDArray[np.float32],
    items: list[int],
    scores: list[float],
) -> bool:
    rows = model.items.rows(pl.Series(items, dtype=pl.Int64))
    if (rows < 0).any():
        return False
    expected = model.contents.candidate_embeddings[rows] @ query
    apart = np.abs(np.array(scores) - expected)
    return bool((apart <= TOLERANCE * np.maximum(1.0, np.abs(expected))).all())
