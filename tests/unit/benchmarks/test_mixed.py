"""Whether lists are those of the release that they name."""

import numpy as np
import polars as pl
import pytest

from recbench.benchmarks.mixed import verify_answers
from recbench.benchmarks.trained_release import users_with_history
from recbench.errors import InputError
from recbench.serving import ReleasedRecommender

K = 10


@pytest.fixture(scope="module")
def users(tiny_served):
    return users_with_history(tiny_served.small, most=6)


@pytest.fixture(scope="module")
def answered(tiny_served, users):
    """What two releases give each user, each list twice."""
    parts = []
    for release in tiny_served.releases[:2]:
        lists = ReleasedRecommender.load(release).recommend(users, k=K)
        part = lists.group_by("user_id", maintain_order=True).agg("item_id", "score")
        parts.append(
            part.select(
                release=pl.lit(release.manifest.release),
                request=pl.Series(np.arange(len(users))),
                items="item_id",
                scores=pl.col("score").cast(pl.List(pl.Float64)),
            )
        )
    return pl.concat([*parts, *parts])


def verified(answered, users, tiny_served):
    return verify_answers(answered, users, registry=tiny_served.registry, k=K)


def test_lists_of_the_named_release_are_none_mixed(answered, users, tiny_served):
    found = verified(answered, users, tiny_served)
    assert found.n_answers == 24
    assert found.n_mixed == 0
    assert found.recall == 1.0
    assert found.n_releases == 2


def test_lists_that_name_the_other_release_are_all_mixed(answered, users, tiny_served):
    first, second = (one.manifest.release for one in tiny_served.releases[:2])
    swapped = answered.with_columns(pl.col("release").replace({first: second, second: first}))
    assert verified(swapped, users, tiny_served).n_mixed == 24


def test_one_item_or_score_of_elsewhere_is_enough(answered, users, tiny_served):
    score = answered.with_columns(
        scores=pl.when(pl.int_range(pl.len()) == 3)
        .then(pl.col("scores").list.eval(pl.element() + 0.1 * (pl.int_range(pl.len()) == 4)))
        .otherwise("scores")
    )
    assert verified(score, users, tiny_served).n_mixed == 1
    unknown = answered.with_columns(
        items=pl.when(pl.int_range(pl.len()) == 5)
        .then(pl.col("items").list.eval(pl.element() + 10**6))
        .otherwise("items")
    )
    assert verified(unknown, users, tiny_served).n_mixed == 1


def test_another_order_of_equals_and_one_missed_item_are_not_mixed(answered, users, tiny_served):
    shorter = answered.with_columns(pl.col("items", "scores").list.head(K - 1))
    found = verified(shorter, users, tiny_served)
    assert found.n_mixed == 0
    assert found.recall == pytest.approx(0.9)
    few = answered.with_columns(pl.col("items", "scores").list.head(K // 2 - 1))
    assert verified(few, users, tiny_served).n_mixed == 24


def test_nothing_to_verify_is_refused(answered, users, tiny_served):
    with pytest.raises(InputError, match="no answers to verify"):
        verified(answered.head(0), users, tiny_served)
