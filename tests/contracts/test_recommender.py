"""What every recommender must hold, run over all of them."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import polars as pl
import pytest

from recbench.evaluation.recommender import recommend
from recbench.models.baselines import (
    ALS,
    BPR,
    EASE,
    SLIM,
    VSKNN,
    DecayedEASE,
    ItemKNN,
    Markov,
    PersonalFrequency,
    Popularity,
    RecencyPopularity,
    WithFallback,
    WithRecencyPrior,
)
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

HALF_LIFE_S = 5 * 86_400.0
UNKNOWN = 10**12
UNCLICKED_ITEM = 10**6  # in the catalogue, but never clicked


@pytest.fixture(scope="module")
def data(tiny_events, tiny_items):
    from recbench.tables.log import EventLog

    unclicked = pl.DataFrame({"item_id": [UNCLICKED_ITEM]})
    items = pl.concat([tiny_items, unclicked], how="diagonal_relaxed")
    return EventLog("tiny", "masked", tiny_events, items, version=0)


@pytest.fixture(scope="module")
def log(data):
    return InteractionLog.from_events(data.events, items=Vocabulary.of(data.items["item_id"]))


@pytest.fixture(scope="module")
def at(log):
    return int(log.ts.max()) + 1


@pytest.fixture(scope="module")
def fitted_two_tower(data, at):
    from recbench.jobs.build import Cut, fit_two_tower
    from recbench.settings import (
        Experiment,
        ExportSettings,
        FeatureSettings,
        TowerSettings,
        TrainingSettings,
    )

    experiment = Experiment(
        features=FeatureSettings(history_length=8),
        towers=TowerSettings(embedding_dim=8, hidden_dim=8),
        training=TrainingSettings(max_steps=5, batch_size=16, n_uniform=20, n_cuts=4),
        export=ExportSettings(precisions=()),
    )

    def fit(encoder="pooled"):
        inner_weight = 0.0 if encoder == "pooled" else 1.0
        chosen = replace(
            experiment,
            towers=replace(experiment.towers, encoder=encoder, n_layers=1),
            training=replace(experiment.training, inner_weight=inner_weight),
        )
        return chosen, fit_two_tower(
            data,
            data.events,
            Cut(at=at, horizon_us=3 * 86_400_000_000, half_life_s=HALF_LIFE_S),
            experiment=chosen,
            steps=5,
        )

    return fit


@pytest.fixture(scope="module")
def release_of(data, tmp_path_factory):
    from recbench.jobs.publish import make_release
    from recbench.refresh import Registry
    from recbench.serving import ReleasedRecommender

    def make(experiment, fitted):
        release = make_release(
            fitted,
            data,
            data.events,
            registry=Registry(tmp_path_factory.mktemp("registry")),
            experiment=experiment,
            metrics={},
        )
        return ReleasedRecommender.load(release)

    return make


@pytest.fixture(scope="module")
def makers(data, log, at, fitted_two_tower, release_of):
    """How each recommender is made from scratch; a seed, where there is one, is the default."""

    from recbench.jobs.two_stage import fit_two_stage
    from recbench.settings import RankingSettings

    def recency():
        return RecencyPopularity.fit(log, at=at, half_life_s=HALF_LIFE_S)

    return {
        "popularity": lambda: Popularity.fit(log),
        "recency popularity": recency,
        "item-knn": lambda: ItemKNN.fit(log),
        "ease": lambda: EASE.fit(log),
        "als": lambda: ALS.fit(log, factors=4),
        "bpr": lambda: BPR.fit(log, factors=4, iterations=5),
        "slim": lambda: SLIM.fit(log, k=20, l1=0.1),
        "decay-weighted ease": lambda: DecayedEASE.fit(log, at=at),
        "markov": lambda: Markov.fit(log),
        "v-sknn": lambda: VSKNN.fit(log, k=5),
        "personal frequency": lambda: PersonalFrequency(log.items),
        "ease with recency prior": lambda: WithRecencyPrior(EASE.fit(log), recency(), weight=0.5),
        "item-knn with fallback": lambda: WithFallback(ItemKNN.fit(log), recency()),
        "two-stage": lambda: fit_two_stage(
            data,
            data.events,
            at=at,
            horizon_us=3 * 86_400_000_000,
            settings=RankingSettings(
                n_cuts=2, least_horizon_frac=1.0, n_each=5, hidden_dim=8, epochs=1
            ),
        ),
        "two-tower": lambda: fitted_two_tower()[1].model,
        "released two-tower": lambda: release_of(*fitted_two_tower()),
        "released two-tower, deepseek": lambda: release_of(*fitted_two_tower("deepseek")),
    } | {
        f"two-tower, {encoder}": partial(lambda name: fitted_two_tower(name)[1].model, encoder)
        for encoder in ENCODERS
    }


ENCODERS = ("mean", "gru", "transformer", "hstu", "deepseek")
NAMES = (
    "popularity",
    "recency popularity",
    "item-knn",
    "ease",
    "als",
    "bpr",
    "slim",
    "decay-weighted ease",
    "markov",
    "v-sknn",
    "personal frequency",
    "ease with recency prior",
    "item-knn with fallback",
    "two-stage",
    "two-tower",
    "released two-tower",
    "released two-tower, deepseek",
    *(f"two-tower, {encoder}" for encoder in ENCODERS),
)
FIXED_AT_THE_FIT = {"popularity", "recency popularity", "bpr"}  # a known user's answer, that is


@pytest.fixture(scope="module")
def made(makers):
    """Each recommender, made once."""
    assert set(makers) == set(NAMES)
    return cache(lambda name: makers[name]())


@pytest.mark.parametrize("name", NAMES)
class TestEveryRecommender:
    """Columns are items, rows are queries, and nothing else decides."""

    @pytest.fixture
    def model(self, made, name):
        return made(name)

    @pytest.fixture
    def queries(self, log, at):
        return log.queries(np.array([*log.users.ids[:5], UNKNOWN, *log.users.ids[5:8]]), at)

    def test_the_catalogue_is_that_of_the_log(self, model, log):
        assert model.items == log.items

    def test_scores_are_one_finite_float32_an_item_and_query(self, model, queries, log):
        scores = model.score_items(queries)
        assert scores.shape == (len(queries), len(log.items))
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_one_query_is_scored_as_in_a_batch(self, model, queries):
        together = model.score_items(queries)
        largest = np.abs(together).max()
        for row in range(len(queries)):
            alone = model.score_items(queries.take(slice(row, row + 1)))
            # a matrix product may add in another order: a few roundings of the largest term
            np.testing.assert_allclose(alone[0], together[row], rtol=1e-5, atol=1e-6 * largest)

    def test_the_order_of_queries_does_not_matter(self, model, queries):
        together = model.score_items(queries)
        backwards = model.score_items(queries.take(slice(None, None, -1)))[::-1]
        largest = np.abs(together).max()
        np.testing.assert_allclose(backwards, together, rtol=1e-5, atol=1e-6 * largest)

    def test_scoring_twice_gives_the_same(self, model, queries):
        first = model.score_items(queries).copy()
        recommend(model, queries, k=5)  # masks in place: it must not reach the model
        assert np.array_equal(model.score_items(queries), first)

    def test_no_queries_have_no_scores(self, model, queries, log):
        assert model.score_items(queries.take(slice(0, 0))).shape == (0, len(log.items))

    def test_an_unknown_user_is_answered_with_a_full_list(self, model, log, at):
        lists = recommend(model, log.queries(np.array([UNKNOWN]), at), k=10)
        assert lists["user_id"].unique().to_list() == [UNKNOWN]
        assert lists["rank"].to_list() == list(range(1, 11))

    def test_seen_items_are_filtered(self, model, queries, data):
        lists = recommend(model, queries, k=10)
        assert lists["user_id"].n_unique() == len(queries)
        assert lists.join(data.events, on=["user_id", "item_id"], how="semi").is_empty()

    def test_scores_fall_with_the_rank(self, model, queries):
        lists = recommend(model, queries, k=10, repeats=True)
        assert len(lists) == 10 * len(queries)
        for _, scores in lists.group_by("user_id", maintain_order=True).agg("score").iter_rows():
            assert scores == sorted(scores, reverse=True)

    def test_a_fresher_history_changes_the_answer_where_histories_count(self, model, name, data):
        later, user = data.events["ts"].max(), data.events["user_id"][0]
        theirs = data.events.filter(pl.col("user_id") == user)["item_id"]
        new_to_them = data.events.filter(~pl.col("item_id").is_in(theirs.implode())).tail(1)
        click = new_to_them.with_columns(
            user_id=pl.lit(user, pl.Int64), ts=pl.lit(later, pl.Datetime("us", "UTC"))
        )
        fresh = pl.concat([data.events, click])
        before, after = (
            model.score_items(_queries(events, model, user, _after(later)))
            for events in (data.events, fresh)
        )
        assert np.array_equal(before, after) == (name in FIXED_AT_THE_FIT)

    def test_what_comes_at_the_instant_of_the_query_or_later_is_not_seen(self, model, data):
        cut = data.events["ts"][len(data.events) // 2]
        past = data.events.filter(pl.col("ts") < cut)
        known, all_the_log = (
            model.score_items(_queries(events, model, past["user_id"][0], _after(cut) - 1))
            for events in (past, data.events)
        )
        assert np.array_equal(known, all_the_log)

    def test_made_again_it_gives_the_same_scores(self, model, makers, name, queries):
        again = makers[name]()
        assert np.array_equal(again.score_items(queries), model.score_items(queries))


def _after(instant):
    return round(instant.timestamp() * 1e6) + 1


def _queries(events, model, user, at):
    return InteractionLog.from_events(events, items=model.items).queries(np.array([user]), at)


@pytest.mark.parametrize("kind", ["", ", deepseek"])
def test_the_released_two_tower_answers_as_the_trained_one(made, log, at, kind):
    queries = log.queries(np.append(log.users.ids, UNKNOWN), at)
    names = (f"two-tower{kind}", f"released two-tower{kind}")
    trained, released = (made(name).score_items(queries) for name in names)
    # 1e-4 of one embedding value is what a release may differ by; here 10 dimensions of up to ~1
    np.testing.assert_allclose(released, trained, atol=1e-3)


@pytest.mark.parametrize(
    "name", ["item-knn with fallback", *(name for name in NAMES if "two-tower" in name)]
)
def test_an_unknown_user_gets_exactly_recency_popularity(made, log, at, name):
    queries = log.queries(np.array([UNKNOWN]), at)
    prior = recommend(made("recency popularity"), queries, k=len(log.items))
    assert recommend(made(name), queries, k=len(log.items)).equals(prior)
