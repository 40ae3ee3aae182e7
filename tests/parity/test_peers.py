"""RecTools and RecBole as judges: metrics by the same definition, closed-form models by score."""

from datetime import UTC, datetime
from functools import partial

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.evaluation.ranking import evaluate
from recbench.models.baselines import EASE, ItemKNN
from recbench.tables.queries import InteractionLog

pytestmark = pytest.mark.slow

K = 10
N_USERS, N_ITEMS = 40, 60


@pytest.fixture(scope="module")
def judged():
    """Random lists of 15 items and 0 to 20 relevant ones a user: lists, relevant, our metrics."""
    rng = np.random.default_rng(3)
    lists, relevant = [], []
    for user in range(N_USERS):
        for rank, item in enumerate(rng.permutation(N_ITEMS)[:15], start=1):
            lists.append((user, int(item), rank))
        relevant += [(user, int(item)) for item in rng.permutation(N_ITEMS)[: rng.integers(0, 21)]]
    lists = pl.DataFrame(lists, schema=[c.USER_ID, c.ITEM_ID, c.RANK], orient="row")
    relevant = pl.DataFrame(relevant, schema=[c.USER_ID, c.ITEM_ID], orient="row")
    # Somebody else clicked everything: that is the catalogue, and nobody judged has seen an item.
    before = pl.DataFrame({c.USER_ID: [N_USERS] * N_ITEMS, c.ITEM_ID: range(N_ITEMS)})
    ours = evaluate(lists, train=before, test=relevant, k=K, resamples=0)
    return lists, relevant, ours.to_json()


@pytest.fixture(scope="module")
def rectools(ask_peers, judged):
    lists, relevant, _ = judged
    return ask_peers(
        "rectools_metrics",
        k=K,
        lists=lists.to_dict(as_series=False),
        relevant=relevant.to_dict(as_series=False),
    )


@pytest.mark.parametrize("metric", ["ndcg", "recall", "precision", "mrr", "hit_rate"])
def test_metric_equals_rectools_by_the_same_definition(metric, judged, rectools):
    # Same gains, discount and ideal (RecTools' `divide_by_achievable`); recall over all relevant.
    ours = judged[2][f"{metric}@{K}"]["all"]["value"]
    assert ours == pytest.approx(rectools[metric], abs=1e-12)


def test_ndcg_of_rectools_default_has_another_ideal(ask_peers):
    # One relevant item, found at rank 2 of 10: 1 / log2(3) = 0.631 of our ideal, one hit at rank 1;
    # RecTools' default ideal is ten hits, sum of 1 / log2(rank + 1) = 4.544, so 0.139 there.
    lists = {c.USER_ID: [1] * 10, c.ITEM_ID: list(range(10)), c.RANK: list(range(1, 11))}
    relevant = {c.USER_ID: [1], c.ITEM_ID: [1]}
    theirs = ask_peers("rectools_metrics", k=K, lists=lists, relevant=relevant)
    assert theirs["ndcg"] == pytest.approx(0.631, abs=5e-4)
    assert theirs["ndcg_ideal_k_hits"] == pytest.approx(0.139, abs=5e-4)


@pytest.fixture(scope="module")
def clicks():
    """Who clicked what, (300, 30), one click in five."""
    return np.random.default_rng(5).random((300, 30)) < 0.2


@pytest.fixture(scope="module")
def log(clicks):
    users, items = np.nonzero(clicks)
    at = pl.Series([datetime(2020, 1, 1, tzinfo=UTC)] * len(users), dtype=pl.Datetime("us", "UTC"))
    return InteractionLog.from_events(
        pl.DataFrame({c.USER_ID: users, c.ITEM_ID: items, c.TS: at}),
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (partial(EASE.fit, regularisation=40.0), ("EASE", {"reg_weight": 40.0})),
        (
            partial(ItemKNN.fit, k=30, shrink=5.0),
            ("ItemKNN", {"k": 30, "shrink": 5.0, "knn_method": "item"}),
        ),
    ],
    ids=["EASE", "ItemKNN"],
)
def test_scores_equal_recbole(ours, theirs, clicks, log, ask_peers):
    name, options = theirs
    answer = ask_peers(
        "recbole_scores", model=name, options=options, clicks=clicks.astype(int).tolist()
    )
    queries = log.queries(log.users.ids, int(log.ts.max()) + 1)
    # Both in float32: sums of at most 30 terms below 1 are good to 30 * 2**-24 = 2e-6; RecBole
    # inverts in float32, too (condition number about 2), and adds 1e-6 to ItemKNN's denominator.
    np.testing.assert_allclose(
        ours(log).score_items(queries), answer["scores"], rtol=1e-5, atol=1e-5
    )
