"""Several cuts together: a user who comes twice is one user."""

import numpy as np
import polars as pl
import pytest

from recbench.benchmarks.quality import (
    best_baseline,
    clustered_difference,
    comparison,
    pooled_table,
    price_table,
)
from recbench.errors import InputError


def judged(model, values, *, cut=0, seed=0, users=None):
    n = len(values)
    return pl.DataFrame(
        {
            "model": [model] * n,
            "cut": [cut] * n,
            "seed": [seed] * n,
            "request": range(n),
            "user_id": users or list(range(n)),
            "ndcg@20": [float(value) for value in values],
        }
    )


def test_the_mean_is_over_requests_and_seeds_count_once():
    parts = [judged("a", [0, 1]), judged("a", [1, 1], seed=1), judged("a", [0], cut=1)]
    frame = pl.concat(parts)
    # requests: 1/2 and 1 of the first cut, 0 of the second
    found = clustered_difference(frame, "a", None, metric="ndcg@20")
    assert found.value == pytest.approx(0.5)
    assert found.n_users == 2


def test_a_difference_is_paired_by_request():
    frame = pl.concat([judged("a", [0.2, 0.9]), judged("b", [0.1, 0.8])])
    found = clustered_difference(frame, "a", "b", metric="ndcg@20")
    assert (found.low, found.value, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_requests_of_one_user_are_drawn_together():
    values = np.random.default_rng(0).random(400)
    alone = clustered_difference(judged("a", values), "a", None, metric="ndcg@20")
    # forty users, each with ten times the same value: as sure as forty requests
    repeated = judged("a", np.repeat(values[:40], 10), users=np.repeat(range(40), 10).tolist())
    clustered = clustered_difference(repeated, "a", None, metric="ndcg@20")
    assert (clustered.high - clustered.low) > 2.5 * (alone.high - alone.low)


def test_models_that_were_asked_other_things_are_not_compared():
    frame = pl.concat([judged("a", [1, 0]), judged("b", [1])])
    with pytest.raises(InputError, match="2 and 1 requests, 1 in common"):
        clustered_difference(frame, "a", "b", metric="ndcg@20")


def test_nobody_asked_is_refused():
    with pytest.raises(InputError, match="'c' answered"):
        clustered_difference(judged("a", [1]), "c", None, metric="ndcg@20")


def test_the_best_baseline_is_none_of_ours():
    models = {"two-stage": 0.9, "two-tower, gru": 0.8, "EASE": 0.5, "popularity": 0.1}
    frame = pl.concat([judged(name, [value]) for name, value in models.items()])
    assert best_baseline(frame, metric="ndcg@20") == "EASE"
    found = comparison(frame, rival="EASE", metrics=["ndcg@20", "absent"])
    assert found["model"].to_list() == ["two-stage", "two-tower, gru"]
    assert found["gain_frac"].to_list() == pytest.approx([0.8, 0.6])


def test_experts_are_compared_with_dense_over_their_seeds():
    names = "two-tower, deepseek", "two-tower, transformer"
    seeds = [judged(names[0], [0.4, 0.2]), judged(names[0], [0.6, 0.4], seed=1)]
    frame = pl.concat([*seeds, judged(names[1], [0.5, 0.2]), judged("two-stage", [1, 1])])
    found = comparison(frame, rival=names[1], metrics=["ndcg@20"], models=names[:1])
    # of the requests .5 - .5 and .3 - .2
    assert found["model"].to_list() == [names[0]]
    assert found["difference"].to_list() == pytest.approx([0.05])


def test_the_table_has_the_best_first_with_its_mean_costs():
    frame = pl.concat([judged("a", [0, 0]), judged("b", [1, 1])])
    costs = pl.DataFrame(
        {"model": ["a", "b", "b"], "cut": 0, "seed": [0, 0, 1], "cpu_s": [1.0, 2.0, 4.0]}
    )
    table = pooled_table(frame, costs, reference="a", metrics=["ndcg@20"])
    assert table["model"].to_list() == ["b", "a"]
    assert table["cpu_s"].to_list() == [3.0, 1.0]
    assert table["vs a"][0].startswith("+1.0000 [+1.0000")


def test_the_price_of_a_share_is_what_is_lost_against_none():
    part = {"request": [0, 1], "user_id": [0, 1], "cut": [0, 0]}
    free = pl.DataFrame(
        part | {"value": [0.6, 0.4], "tail_recall": [0.0, None], "share": [0.0, 0.0]}
    )
    dear = pl.DataFrame(
        part | {"value": [0.5, 0.3], "tail_recall": [1.0, None], "share": [0.5, 0.5]}
    )
    table = price_table(pl.concat([free, dear]))
    assert table["share"].to_list() == [0.0, 0.5]
    assert table["loss"].to_list() == pytest.approx([0.0, 0.1])
    assert table["tail_recall"].to_list() == [0.0, 1.0]
