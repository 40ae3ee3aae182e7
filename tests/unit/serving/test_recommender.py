"""Answers of the toy release of conftest.py, each worked out by hand."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError, ReleaseError
from recbench.evaluation.recommender import recommend
from recbench.refresh.contents import Contents
from recbench.runtime.onnx import OnnxQueryTower
from recbench.serving import ReleasedRecommender, recommender
from recbench.serving.recommender import require_user_ids

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def model(seal_toy):
    return ReleasedRecommender.load(seal_toy().release)


def users(*ids):
    return np.array(ids, dtype=np.int64)


def pairs(*rows):
    """(user, item, seconds after the start)."""
    ids, items, seconds = zip(*rows, strict=True)
    ts = pl.Series([START + timedelta(seconds=s) for s in seconds]).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame({"user_id": ids, "item_id": items, "ts": ts})


def test_an_unknown_user_gets_exactly_recency_popularity(model):
    # popularity .5, .25, 2, 1
    assert model.recommend(users(99)).rows() == [
        (99, 30, 1, 2.0),
        (99, 40, 2, 1.0),
        (99, 10, 3, 0.5),
        (99, 20, 4, 0.25),
    ]


def test_a_known_user_gets_what_the_history_pulls_without_what_was_seen(model):
    # history 10, 20: (0, 5, 1, 2) + (0, 0, 3, 1) = (0, 5, 4, 3)
    assert model.recommend(users(1)).rows() == [(1, 30, 1, 4.0), (1, 40, 2, 3.0)]


def test_seen_items_may_return_where_repeats_are_allowed(model):
    assert model.recommend(users(1), k=1, repeats=True).rows() == [(1, 20, 1, 5.0)]


@pytest.mark.parametrize(
    ("protocol", "first"), [("masked", 30), ("next_basket", 20), ("next_in_session", 20)]
)
def test_the_protocol_decides_about_repeats(seal_toy, protocol, first):
    model = ReleasedRecommender.load(seal_toy(protocol).release)
    assert model.recommend(users(1), k=1)["item_id"].to_list() == [first]


def test_a_tombstoned_item_is_not_shown(seal_toy):
    model = ReleasedRecommender.load(seal_toy().release)
    best = model.recommend(np.array([99]), k=1)["item_id"][0]
    row = model.items.rows(np.array([best]))[0]
    without = ReleasedRecommender.load(seal_toy(tombstones=[row]).release)
    assert best not in without.recommend(np.array([99, 1]), k=4)["item_id"].to_list()
    assert np.isneginf(without.score_items(without.queries(np.array([99])))[0, row])


def test_lists_come_in_the_order_of_the_users(model, monkeypatch):
    whole = model.recommend(users(2, 99, 1, 98), k=2)
    assert whole["user_id"].unique(maintain_order=True).to_list() == [2, 99, 1, 98]
    monkeypatch.setattr(recommender, "USERS_PER_BATCH", 3)
    counts = []
    assert model.recommend(users(2, 99, 1, 98), k=2, on_batch=counts.append).equals(whole)
    assert counts == [3, 1]


def test_nobody_gets_no_lists(model):
    assert len(model.recommend(users())) == 0
    assert model.score_items(model.queries(users())).shape == (0, 4)


def test_it_answers_as_any_recommender(model):
    lists = recommend(model, model.queries(users(1, 2, 99)), k=3)
    assert lists.equals(model.recommend(users(1, 2, 99), k=3))


def test_a_score_sees_what_was_clicked_strictly_before(model):
    scored = model.score(pairs((1, 30, 0), (1, 30, 60), (1, 30, 60.000001)))
    # nothing yet: popularity 2; then 10 alone: 1; then 20 as well: 1 + 3
    assert scored["score"].to_list() == [2.0, 1.0, 4.0]


def test_scores_keep_the_order_of_the_rows_and_are_null_for_unknown_items(model, monkeypatch):
    asked = pairs((2, 40, 9000), (1, 77, 9000), (99, 10, 5), (1, 20, 9000), (2, 40, 9000))
    monkeypatch.setattr(recommender, "USERS_PER_BATCH", 2)
    scored = model.score(asked)
    assert scored.drop("score").equals(asked)
    assert scored["score"].to_list() == [9.0, None, 0.5, 5.0, 9.0]


def test_no_pairs_give_no_scores(model):
    assert model.score(pairs((1, 30, 0)).head(0))["score"].to_list() == []


def test_window_features_are_those_of_the_request(model):
    # candidate 40 gains 100 for each click of the last hour, 1 for each ms watched in 5 minutes
    candidates = model.contents.candidate_embeddings.copy()
    candidates[3, 4:6] = 100, 1
    contents = dataclasses.replace(model.contents, candidate_embeddings=candidates)
    model = ReleasedRecommender(contents, model.tower, repeats=False)
    scored = model.score(pairs((1, 40, 60), (1, 40, 301), (1, 40, 4000)))
    # at 60 s: pull 2, one click, 1000 ms; at 301 s the first watch is too old: pull 3, two
    # clicks, 2000 ms; at 4000 s nothing is recent
    assert scored["score"].to_list() == [2 + 100 + 1000, 3 + 200 + 2000, 3]


def test_only_the_latest_events_are_the_history(model):
    contents = dataclasses.replace(model.contents, history_length=1)
    model = ReleasedRecommender(contents, model.tower, repeats=False)
    # 20 alone pulls (0, 0, 3, 1); 10 is masked nevertheless
    assert model.recommend(users(1)).rows() == [(1, 30, 1, 3.0), (1, 40, 2, 1.0)]


def test_lists_are_as_of_the_watermark_not_of_the_last_click(model):
    contents = dataclasses.replace(model.contents, watermark_us=int(model.log.ts.max()) + 7)
    model = ReleasedRecommender(contents, model.tower, repeats=False)
    # one microsecond later, so that an event at the watermark is history
    assert model.queries(users(1, 99)).ts.tolist() == [contents.watermark_us + 1] * 2


def test_users_are_those_with_a_history(model):
    assert model.users.ids.tolist() == [1, 2]


def test_contents_are_read_as_written(seal_toy):
    contents = Contents.read(seal_toy().release)
    assert contents.items.ids.tolist() == [10, 20, 30, 40]
    assert contents.item_features["title"].to_list() == ["Ten", None, None, None]
    assert [feature.name for feature in contents.window_features] == [
        "user_clicks_1h",
        "user_watch_ms_5m",
    ]


def test_a_release_whose_tower_knows_fewer_items_is_never_asked_beyond_them(seal_toy):
    tower = OnnxQueryTower(seal_toy().release.path("query_tower.onnx"), n_items=2)
    with pytest.raises(InputError, match=r"lie in \[-1, 2\), got -1 to 3"):
        tower(np.array([[-1, 3]]), *[np.zeros((1, 2), np.float32)] * 3)


def test_a_release_without_a_file_that_serving_needs_says_which(seal_toy):
    release = seal_toy().release
    files = {n: f for n, f in release.manifest.files.items() if n != "index.safetensors"}
    bare = dataclasses.replace(release, manifest=dataclasses.replace(release.manifest, files=files))
    with pytest.raises(ReleaseError, match=r"has no file 'index.safetensors', but .*users.parquet"):
        ReleasedRecommender.load(bare)


def test_user_ids_are_distinct_in_the_order_of_their_first_row():
    frame = pl.DataFrame({"user_id": [3, 1, 3, 2]})
    assert require_user_ids(frame, source="u").tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"user": [1]}), r"u lacks the column `user_id`; it has \['user'\]"),
        (pl.DataFrame({"user_id": []}), "u holds no users"),
        (pl.DataFrame({"user_id": [1, None]}), "u: Ids must not be null, but 1 of 2 are"),
        (pl.DataFrame({"user_id": [1.5]}), "u: Ids must be integers, got float64: .*1.5"),
        (pl.DataFrame({"user_id": ["a"]}), "u: Ids must be integers, got object: 'a'"),
        (
            pl.DataFrame({"user_id": [2**63]}, schema={"user_id": pl.UInt64}),
            "u: Ids must fit into int64, but 9223372036854775808 does not",
        ),
    ],
)
def test_unusable_user_ids_are_refused(frame, message):
    with pytest.raises(InputError, match=message):
        require_user_ids(frame, source="u")
