"""The baselines against reference figures on MovieLens-100K: 80/10/10 by time, full ranking.

The references were measured elsewhere, rounded to .001. There, items of the validation leave list
and relevant set even before the refit, and users without history get popularity of all time.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.datasets import load
from recbench.evaluation.ranking import evaluate
from recbench.evaluation.recommender import recommend
from recbench.models.baselines import (
    ALS,
    EASE,
    ItemKNN,
    Popularity,
    RecencyPopularity,
    WithFallback,
)
from recbench.tables.queries import InteractionLog
from recbench.tables.split import split_by_time
from recbench.tables.vocabulary import Vocabulary

pytestmark = pytest.mark.slow
HALF_LIFE_S = 14 * 86_400.0
SEEDS = range(5)
DEEP = 400  # seen items of the validation leave the list afterwards: it must be long enough


@dataclass(frozen=True)
class Setting:
    """What is fitted on, what is masked besides, and the test after it."""

    log: InteractionLog
    fitted: pl.DataFrame
    seen: pl.DataFrame | None
    test: pl.DataFrame
    at: int

    def fit(self, name):
        """The models whose mean figure is the named one's."""
        if name == "recency":
            return [RecencyPopularity.fit(self.log, at=self.at, half_life_s=HALF_LIFE_S)]
        unknown = Popularity.fit(self.log)
        if name == "als":
            return [WithFallback(ALS.fit(self.log, seed=seed), unknown) for seed in SEEDS]
        fit = {"popularity": Popularity.fit, "item-knn": ItemKNN.fit, "ease": EASE.fit}[name]
        return [WithFallback(fit(self.log), unknown)]

    def judge(self, model, *, repeats_in_list=False):
        """The lists of one model; its users are those of the test."""
        queries = self.log.queries(self.test[c.USER_ID].unique().sort(), self.at)
        lists = recommend(model, queries, k=DEEP, repeats=repeats_in_list)
        return evaluate(lists, train=self.fitted, seen=self.seen, test=self.test, resamples=0)

    def mean(self, name, group, metric="ndcg@20"):
        """Over the users of the group, then over the models."""
        results = [self.judge(model) for model in self.fit(name)]
        return np.mean([result.values(metric, group).mean() for result in results])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    chosen = os.environ.get("RECBENCH_WORKSPACE")
    workspace = Path(chosen) if chosen else tmp_path_factory.mktemp("workspace")
    return load("movielens-100k", workspace=workspace)


@pytest.fixture(scope="module")
def split(data):
    return split_by_time(data.events)


@pytest.fixture(scope="module")
def setting(data, split):
    """Makes a setting: fitted on these events, those masked besides."""

    def of(fitted, seen):
        log = InteractionLog.from_events(fitted, items=Vocabulary.of(data.items[c.ITEM_ID]))
        return Setting(log, fitted, seen, split.test, round(split.test_ts.timestamp() * 1e6))

    return of


@pytest.fixture(scope="module")
def before_refit(setting, split):
    return setting(split.train, split.validation)


@pytest.fixture(scope="module")
def refitted(setting, split):
    return setting(split.past, None)


def test_the_test_has_the_users_of_the_reference(before_refit):
    result = before_refit.judge(Popularity.fit(before_refit.log))
    assert len(result.by_user) == 166
    assert result.by_user["known"].sum() == 69


# What is left of .005 after rounding are ties in another order: a few swaps in 69 lists. ALS: the
# reference is one seed, ours are five; by themselves they are .157 to .160 on known users.
@pytest.mark.parametrize(
    ("name", "known", "everybody", "tolerance"),
    [
        ("recency", 0.194, 0.322, 0.005),
        ("popularity", 0.120, 0.268, 0.005),
        ("item-knn", 0.137, 0.276, 0.005),
        ("ease", 0.149, 0.281, 0.005),
        ("als", 0.153, 0.282, 0.01),
    ],
)
def test_baselines_reach_their_references(before_refit, name, known, everybody, tolerance):
    assert before_refit.mean(name, "known") == pytest.approx(known, abs=tolerance)
    assert before_refit.mean(name, "all") == pytest.approx(everybody, abs=tolerance)


@pytest.mark.parametrize(
    ("name", "recall", "coverage"),
    [
        ("recency", 0.166, 0.071),
        ("popularity", 0.114, 0.080),
        ("item-knn", 0.107, 0.172),
        ("ease", 0.116, 0.209),
    ],
)
def test_recall_and_coverage_are_those_of_the_reference(before_refit, name, recall, coverage):
    (model,) = before_refit.fit(name)
    result = before_refit.judge(model)
    assert result.values("recall@20").mean() == pytest.approx(recall, abs=0.001)
    assert result.lists["coverage@20"] == pytest.approx(coverage, abs=0.001)


@pytest.mark.parametrize(
    ("name", "everybody", "tolerance"),
    [
        ("recency", 0.340, 0.005),
        ("item-knn", 0.298, 0.005),
        ("ease", 0.304, 0.005),
        ("als", 0.308, 0.01),
    ],
)
def test_baselines_refitted_on_all_the_past(refitted, name, everybody, tolerance):
    assert refitted.mean(name, "all") == pytest.approx(everybody, abs=tolerance)


def test_masking_the_history_equals_masking_in_the_evaluation(before_refit):
    (recency,) = before_refit.fit("recency")
    masked = before_refit.judge(recency)
    afterwards = before_refit.judge(recency, repeats_in_list=True)
    assert afterwards.left_out["n_repeats_dropped"] > masked.left_out["n_repeats_dropped"]
    kept = [pl.col(c.USER_ID), pl.col("^.*@20$")]
    assert masked.by_user.select(kept).equals(afterwards.by_user.select(kept))
