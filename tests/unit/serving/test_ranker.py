"""A release with a ranker: offline, laid out and served it gives the lists that were fitted."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.jobs.publish import make_release
from recbench.jobs.two_stage import fit_two_stage
from recbench.models.ranking.sealed import taken_apart
from recbench.refresh import Registry
from recbench.refresh.stored_ranker import read_ranker
from recbench.serving import ReleasedRecommender
from recbench.serving.answer import answer_list, answer_lists, answer_scores
from recbench.serving.laid_out import lay_out, open_laid_out
from recbench.serving.options import Limits
from recbench.serving.requests import parse_recommend, parse_score
from recbench.serving.served_release import ServedRelease
from recbench.settings import RankingSettings

SETTINGS = RankingSettings(n_cuts=2, least_horizon_frac=1.0, n_each=5, hidden_dim=8, epochs=1)
HORIZON_US = 5 * 86_400_000_000
K = 6


@pytest.fixture(scope="module", params=["masked", "next_in_session"])
def fitted(request, tiny_data, tiny_fit):
    """The log, the tower and a ranker of it, under a protocol."""
    data = replace(tiny_data, protocol=request.param)
    ranker = fit_two_stage(
        data, data.events, at=tiny_fit.at, horizon_us=HORIZON_US, settings=SETTINGS
    )
    return data, tiny_fit, ranker


@pytest.fixture(scope="module")
def release(fitted, tiny_experiment, graphs_once, tmp_path_factory):
    data, tower, ranker = fitted
    return make_release(
        tower,
        data,
        data.events,
        registry=Registry(tmp_path_factory.mktemp("registry")),
        experiment=replace(tiny_experiment, export=replace(tiny_experiment.export, precisions=())),
        metrics={},
        ranker=ranker,
    )


@pytest.fixture(scope="module")
def served(release):
    return ServedRelease.load(release)


def body(**asked):
    return json.dumps(asked).encode()


def listed(served, user, **more):
    asked = parse_recommend(body(user_id=int(user), k=K, **more), Limits())
    answer = answer_list(served, asked, None)
    assert answer.fallback is None
    return answer


def test_served_scores_are_those_of_the_model_that_was_fitted(fitted, served):
    data, tower, model = fitted
    users = tower.log.users.ids[:20]
    queries = tower.log.queries(users, tower.at)
    candidates = model.retrievers.candidates(queries)
    expected = model.score_candidates(queries, candidates)
    for at, user in enumerate(users):
        own = candidates.rows[at][candidates.held[at]]
        nothing = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        known = served.known(served.histories.row(int(user)))
        allowed = np.ones(len(model.items), dtype=bool)
        if not data.repeats:
            allowed[known.seen] = False
        rows, scores = served.ranker.best(
            queries.take(slice(at, at + 1)), nothing, allowed=allowed, k=1_000
        )
        assert sorted(rows.tolist()) == own.tolist()
        order = np.argsort(rows)
        assert scores[order] == pytest.approx(expected[at][candidates.held[at]], abs=1e-4)


def test_offline_lists_are_the_served_ones(release, served, fitted):
    users = np.append(fitted[1].log.users.ids[:15], 10**9)
    offline = ReleasedRecommender.load(release).recommend(users, k=K)
    for user in users:
        own = offline.filter(pl.col("user_id") == user)
        answer = listed(served, user)
        assert answer.item_ids == own["item_id"].to_list()
        assert answer.scores == pytest.approx(own["score"].to_numpy(), abs=1e-4)


def test_requests_answered_together_get_the_lists_they_get_alone(served, fitted):
    users = [*fitted[1].log.users.ids[:5].tolist(), 10**9]
    asked = [parse_recommend(body(user_id=user, k=K), Limits()) for user in users]
    together = answer_lists(served, asked, [None] * len(users))
    for user, answer in zip(users, together, strict=True):
        assert answer.item_ids == listed(served, user).item_ids


def test_workers_rank_by_what_was_laid_out(served, release, fitted, tmp_path):
    lay_out(release, tmp_path)
    opened = open_laid_out(tmp_path)
    for user in fitted[1].log.users.ids[:5]:
        before, after = listed(served, user), listed(opened, user)
        assert after.item_ids == before.item_ids
        assert after.scores.tolist() == before.scores.tolist()


def test_scores_of_a_list_are_those_in_the_list(served, release, fitted):
    user = int(fitted[1].log.users.ids[0])
    answer = listed(served, user)
    unknown = 10**12
    asked = body(user_id=user, item_ids=[*answer.item_ids, unknown])
    scores = answer_scores(served, parse_score(asked, Limits()), None)
    assert scores[-1] is None
    assert scores[:-1] == pytest.approx(answer.scores.tolist(), abs=1e-5)
    instant = pl.lit(served.watermark_us + 1).cast(pl.Datetime("us", "UTC"))
    pairs = pl.DataFrame({"user_id": user, "item_id": answer.item_ids}).with_columns(ts=instant)
    offline = ReleasedRecommender.load(release).score(pairs)
    assert offline["score"].to_list() == pytest.approx(scores[:-1], abs=1e-4)


def test_a_short_list_begins_a_long_one_that_ends_with_what_was_retrieved(served, fitted):
    user = fitted[1].log.users.ids[0]
    every = parse_recommend(body(user_id=int(user), k=40), Limits())
    answer = answer_list(served, every, None)
    assert answer.item_ids[:K] == listed(served, user).item_ids
    assert len(set(answer.item_ids)) == len(answer.item_ids)
    assert (np.diff(answer.scores) <= 0).all()
    unranked = answer_list(replace(served, ranker=None), every, None)
    assert set(answer.item_ids) == set(unranked.item_ids)


def test_who_has_no_history_gets_recency_popularity(served):
    answer = listed(served, 10**9)
    unranked = replace(served, ranker=None)
    assert answer.item_ids == listed(unranked, 10**9).item_ids
    rows, _ = served.most_popular(k=K, excluded=np.empty(0, dtype=np.int64), categories=None)
    assert answer.item_ids == served.items.ids[rows].tolist()


def test_what_a_request_excludes_is_not_ranked(served, fitted):
    user = fitted[1].log.users.ids[0]
    first = listed(served, user).item_ids
    without = listed(served, user, filters={"exclude_items": first[:3]}).item_ids
    assert not set(first[:3]) & set(without)
    name = next(iter(served.categories))
    held = set(served.items.ids[served.categories[name]].tolist())
    only = listed(served, user, filters={"categories": [name]}).item_ids
    assert set(only) <= held


def test_a_ranker_that_fails_leaves_the_order_of_retrieval(served, fitted, caplog):
    user = int(fitted[1].log.users.ids[0])

    def broken(features):
        raise RuntimeError("no")

    failing = replace(served, ranker=replace(served.ranker, network=broken))
    answer = answer_list(failing, parse_recommend(body(user_id=user, k=K), Limits()), None)
    assert (answer.fallback, answer.reason) == ("retrieval", "ranker: RuntimeError")
    assert answer.item_ids == listed(replace(served, ranker=None), user).item_ids
    assert "The ranker of release" in caplog.text


def test_what_is_in_the_release_is_no_code(release):
    stored = read_ranker(release)
    assert json.loads(json.dumps(stored.facts)) == stored.facts
    names = {name for name in release.manifest.files if name.startswith("ranker")}
    assert names == {"ranker.json", "ranker.onnx", "ranker.safetensors"}


def test_a_retriever_of_another_kind_is_not_released(fitted):
    _, tower, ranker = fitted
    retrievers = replace(
        ranker.retrievers, models={**ranker.retrievers.models, "tower": tower.model}
    )
    with pytest.raises(InputError, match="'tower' is a TwoTowerRecommender"):
        taken_apart(retrievers, ranker.features)
