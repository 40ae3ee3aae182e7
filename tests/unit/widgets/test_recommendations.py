"""Why a list is what it is: worked out by hand on the toy release of `served_toy.py`.

History 10, 20 of user 1 pulls (0, 5, 1, 2) + (0, 0, 3, 1) = (0, 5, 4, 3) on items 10, 20, 30, 40.
"""

import dataclasses

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.refresh import Registry
from recbench.serving import ReleasedRecommender
from recbench.widgets.asked import Asked
from recbench.widgets.recommendations import explained, list_changes, named, score_figure

PULL = np.array([[0, 5, 1, 2], [0, 0, 3, 1], [1, 1, 0, 9], [4, 3, 2, 0]])


@pytest.fixture
def load(tmp_path, served_toy):
    def make(protocol="masked", **more):
        toy = served_toy.seal(Registry(tmp_path / "registry"), protocol=protocol, **more)
        return ReleasedRecommender.load(toy.release)

    return make


@pytest.fixture
def model(load):
    return load()


def with_priors(model, prior):
    """The same release where every request's last but one value is 1 and weighs ``prior``."""
    candidates = model.contents.candidate_embeddings.copy()
    candidates[:, -2] = prior
    contents = dataclasses.replace(model.contents, candidate_embeddings=candidates)

    def tower(*inputs):
        embedded = model.tower(*inputs)
        embedded[:, -2] = 1
        return embedded

    return ReleasedRecommender(contents, tower, repeats=model.repeats)


@pytest.mark.parametrize("user_id", [1, 2, 99])
@pytest.mark.parametrize("protocol", ["masked", "next_basket"])
def test_the_list_is_the_one_that_the_release_recommends(load, user_id, protocol):
    model = load(protocol)
    ours = explained(Asked.by_user(model, user_id), k=4)
    theirs = model.recommend(np.array([user_id]), k=4)
    assert ours.select("item_id", "rank", "score").rows() == [
        row[1:] for row in theirs.select("user_id", "item_id", "rank", "score").rows()
    ]


def test_a_composed_history_is_answered_as_a_user_with_those_clicks(model):
    composed = explained(Asked.after(model, [10, 20]), k=4)
    assert composed.drop("because of").equals(
        explained(Asked.by_user(model, 1), k=4).drop("because of")
    )


def test_without_any_history_the_prior_is_all(model):
    table = explained(Asked.after(model, []), k=4)
    # popularity .5, .25, 2, 1: mean .9375
    assert table["item_id"].to_list() == [30, 40, 10, 20]
    assert table["prior"].to_list() == [1.0625, 0.0625, -0.4375, -0.6875]
    assert table["taste"].to_list() == [0.0] * 4
    assert table["prior share"].to_list() == [1.0] * 4
    assert table["rank by prior"].to_list() == [1, 2, 3, 4]
    assert table["nearest"].to_list() == [None] * 4
    assert table["because of"].to_list() == [""] * 4


def test_the_score_is_parted_into_taste_and_prior(model):
    table = explained(Asked.by_user(with_priors(model, [0, 0, 1, 7]), 1), k=4)
    # taste 0, 5, 4, 3: mean 3; prior 0, 0, 1, 7: mean 2; 10 and 20 were seen
    assert table.select("item_id", "score", "taste", "prior").rows() == [
        (40, 10.0, 0.0, 5.0),
        (30, 5.0, 1.0, -1.0),
    ]
    assert table["prior share"].to_list() == [1.0, 0.5]
    assert table["rank by prior"].to_list() == [1, 2]


def test_ranks_by_the_prior_leave_out_what_may_not_be_shown(load):
    model = with_priors(load(tombstones=[3]), [9, 0, 1, 7])
    table = explained(Asked.by_user(model, 1), k=4)
    assert table.select("item_id", "rank by prior").rows() == [(30, 1)]


def test_the_nearest_items_of_the_history_are_told_by_cosine(model):
    table = explained(Asked.by_user(model, 1), k=1)
    # a candidate's embedding is a column of PULL: 30 is (1, 3, 0, 2), 10 is (0, 0, 1, 4),
    # 20 is (5, 0, 1, 3); each has two zeros behind it
    ten, twenty, thirty = PULL[:, 0], PULL[:, 1], PULL[:, 2]
    by_hand = {
        10: thirty @ ten / np.linalg.norm(thirty) / np.linalg.norm(ten),  # 8 / (3.74 * 4.12)
        20: thirty @ twenty / np.linalg.norm(thirty) / np.linalg.norm(twenty),  # 11 / (3.74 * 5.92)
    }
    assert table["nearest"].to_list() == [10]
    assert table["cosine"][0] == pytest.approx(by_hand[10], rel=1e-6)
    assert table["because of"].to_list() == [f"10 Ten ({by_hand[10]:.2f}), 20 ({by_hand[20]:.2f})"]


def test_only_what_the_tower_reads_speaks_for_a_candidate(model):
    contents = dataclasses.replace(model.contents, history_length=1)
    model = ReleasedRecommender(contents, model.tower, repeats=False)
    assert explained(Asked.by_user(model, 1), k=1)["nearest"].to_list() == [20]


def test_a_click_now_changes_the_list(model):
    before = Asked.by_user(model, 1)
    after = before.with_click(40)
    # and 40 pulls (4, 3, 2, 0): 30 has 4 + 2
    assert explained(after, k=4).select("item_id", "score").rows() == [(30, 6.0)]
    assert (after.at_us, len(before.events), len(after.events)) == (before.at_us + 1, 2, 3)


def test_a_click_now_counts_in_the_window_features(model):
    candidates = model.contents.candidate_embeddings.copy()
    candidates[3, 4] = 100  # for each click of the last hour
    contents = dataclasses.replace(model.contents, candidate_embeddings=candidates)
    model = ReleasedRecommender(contents, model.tower, repeats=True)
    before = Asked.by_user(model, 99)
    assert before.query_embedding()[4] == 0
    assert before.with_click(10).query_embedding()[4] == 1


def test_a_click_now_has_the_category_of_its_item(model):
    contents = dataclasses.replace(
        model.contents,
        interactions=model.contents.interactions.with_columns(category=pl.lit("old")),
        item_features=model.contents.item_features.with_columns(category=pl.lit("new")),
    )
    model = ReleasedRecommender(contents, model.tower, repeats=True)
    asked = Asked.by_user(model, 1).with_click(10)
    assert asked.events["category"].to_list() == ["old", "old", "new"]


def test_an_item_that_is_not_in_the_catalogue_is_refused(model):
    with pytest.raises(InputError, match="Item 77 is not among the release's 4 items"):
        Asked.after(model, [10, 77])
    with pytest.raises(InputError, match="Item 78 is not among"):
        Asked.by_user(model, 1).with_click(78)


def test_changes_between_two_lists_are_told_by_item():
    before = pl.DataFrame({"item_id": [1, 2, 3, 4], "rank": [1, 2, 3, 4]})
    after = pl.DataFrame({"item_id": [3, 2, 1, 5], "rank": [1, 2, 3, 4]})
    assert list_changes(before, after).rows() == [
        (3, 3, 1, "up 2"),
        (2, 2, 2, "same"),
        (1, 1, 3, "down 2"),
        (5, None, 4, "new"),
        (4, 4, None, "gone"),
    ]


def test_titles_come_along_with_changes():
    before = pl.DataFrame({"item_id": [1], "title": ["One"], "rank": [1]})
    after = pl.DataFrame({"item_id": [2], "title": ["Two"], "rank": [1]})
    assert list_changes(before, after)["title"].to_list() == ["Two", "One"]


def test_the_figure_says_what_popularity_alone_would_list(model, drawn):
    table = explained(Asked.by_user(with_priors(model, [9, 8, 0, 0]), 2), k=2)
    # user 2 clicked 30, which pulls (1, 1, 0, 9): with the priors 10, 9, 0, 9
    axes = drawn(score_figure(table))
    assert table["item_id"].to_list() == [10, 20]
    assert axes.get_title(loc="left") == "Recency popularity alone would list 2 of these 2"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1. 10 Ten", "2. 20"]
    assert axes.get_xlabel().endswith("logits")


def test_a_list_without_candidates_is_drawn_as_such(load, drawn):
    model = load(tombstones=[0, 1, 2, 3])
    axes = drawn(score_figure(explained(Asked.by_user(model, 1), k=3)))
    assert axes.get_title(loc="left") == "No candidate is left"


def test_items_are_called_by_id_and_title():
    assert named(pl.DataFrame({"item_id": [1, 2], "title": ["One", None]})) == ["1 One", "2"]
    assert named(pl.DataFrame({"item_id": [1]})) == ["1"]
