"""A trained release, and larger ones of perturbed copies."""

import numpy as np
import polars as pl
import pytest

from recbench.benchmarks.trained_release import enlarged, users_with_history
from recbench.errors import InputError
from recbench.refresh.contents import Contents
from recbench.serving import ReleasedRecommender


@pytest.fixture(scope="module")
def contents(tiny_served):
    return Contents.read(tiny_served.small), Contents.read(tiny_served.releases[0])


def test_every_item_of_the_large_catalogue_is_near_the_one_it_copies(contents):
    small, large = contents
    source = np.arange(len(large.items)) % len(small.items)
    assert len(large.items) == 90 > len(small.items) == 40
    assert large.item_features["category"].to_list() == (
        small.item_features["category"].gather(source).to_list()
    )
    apart = (large.candidate_embeddings - small.candidate_embeddings[source])[:, :-1]
    spread = small.candidate_embeddings.std(axis=0)[:-1]
    some = spread > 0
    # noise of a fifth of the spread: the standard error of a standard deviation is s / sqrt(2 n)
    measured = (apart[:, some] / spread[some]).std()
    assert measured == pytest.approx(0.2, abs=4 * 0.2 / (2 * apart[:, some].size) ** 0.5)
    assert (large.candidate_embeddings[:, -1] >= 0).all()


def test_histories_keep_their_length_and_go_to_copies_of_their_items(contents):
    small, large = contents
    assert large.interactions["user_id"].equals(small.interactions["user_id"])
    assert large.interactions["ts"].equals(small.interactions["ts"])
    rows = large.items.rows(large.interactions["item_id"])
    assert (rows % 40 == small.items.rows(small.interactions["item_id"])).all()
    assert len(np.unique(rows)) > 80


def test_the_large_release_answers_and_seeds_give_other_lists(tiny_served):
    users = users_with_history(tiny_served.small, most=20)
    lists = [ReleasedRecommender.load(one).recommend(users, k=5) for one in tiny_served.releases]
    assert [len(one) for one in lists] == [100] * 3
    assert not lists[0]["item_id"].equals(lists[1]["item_id"])
    assert lists[0]["item_id"].max() >= 40


def test_the_manifest_says_what_it_is_a_copy_of(tiny_served):
    manifest = tiny_served.releases[1].manifest
    own = tiny_served.small.manifest.release
    assert manifest.settings["enlarged"] == {"copies_of": own, "seed": 1}
    assert manifest.parent == own
    assert manifest.gate["verdict"] == "not gated"


def test_asking_users_have_full_histories(tiny_served):
    users = users_with_history(tiny_served.small, most=30)
    counted = Contents.read(tiny_served.small).interactions["user_id"].value_counts()
    asked = counted.filter(pl.col("user_id").is_in(users.tolist()))
    assert len(asked) == 30
    assert (asked["count"] >= 50).all()


def test_a_smaller_catalogue_is_refused(tiny_served):
    with pytest.raises(InputError, match="at least the 40 there are, got 39"):
        enlarged(tiny_served.small, registry=tiny_served.registry, n_items=39, seed=0)
