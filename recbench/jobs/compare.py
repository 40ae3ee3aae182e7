"""One test, many models: requests by the data's protocol, baselines, the result table."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.ranking import RankingResult, evaluate, paired_difference
from recbench.evaluation.recommender import Recommender, recommend
from recbench.models.baselines import (
    ALS,
    EASE,
    ItemKNN,
    Popularity,
    RecencyPopularity,
    WithFallback,
    WithRecencyPrior,
)
from recbench.tables.log import EventLog
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Exam", "baselines", "best_half_life", "best_priors", "result_table"]

RESULT_GROUPS = ("all", "known")
PRIOR_WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
EASE_ITEMS = 6_000  # above this its dense matrix takes minutes and gigabytes


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """The requests of one test and what was clicked after them.

    A request is a user as of the cut; under ``next_in_session`` it is each event of the test that
    has a past in its session, with everything before it visible.
    """

    queries: Queries
    train: pl.DataFrame  # what makes a request known, in the requests' ids
    test: pl.DataFrame  # what was clicked, in the requests' ids
    repeats: bool
    k: int = 20

    @classmethod
    def of(
        cls,
        data: EventLog,
        *,
        past: pl.DataFrame,
        test: pl.DataFrame,
        at: int,
        items: Vocabulary,
        k: int = 20,
    ) -> "Exam":
        """The exam that ``test`` sets to a model that has seen ``past``.

        Args:
            data: its protocol.
            past: events before the cut.
            test: events after it.
            at: the cut, microseconds.
            items: the catalogue.
            k: list length.
        """
        test = test.filter(pl.col(c.CLICKED))
        if data.protocol == "next_in_session":
            return cls._of_next_events(past, test, items=items, k=k)
        log = InteractionLog.from_events(past, items=items)
        queries = log.queries(test[c.USER_ID].unique().sort(), at)
        return cls(queries, past, test, data.repeats, k)

    @classmethod
    def _of_next_events(
        cls, past: pl.DataFrame, test: pl.DataFrame, *, items: Vocabulary, k: int
    ) -> "Exam":
        log = InteractionLog.from_events(pl.concat([past, test], how="diagonal"), items=items)
        queries = log.queries(test[c.USER_ID], test[c.TS].dt.epoch("us").to_numpy())
        asked = np.flatnonzero(queries.is_known)
        if not len(asked):
            raise InputError("No session of the test has a second event after an earlier one")
        chosen = queries.take(asked)
        numbered = pl.Series(c.USER_ID, np.arange(len(asked)))
        renamed = replace(chosen, user_ids=numbered.to_numpy())
        targets = test[asked].with_columns(numbered)
        known = pl.DataFrame({c.USER_ID: numbered, c.ITEM_ID: targets[c.ITEM_ID]})
        return cls(renamed, known, targets, True, k)

    def known_only(self) -> "Exam":
        """The same exam for requests with a history."""
        queries = self.queries.take(self.queries.is_known)
        kept = pl.col(c.USER_ID).is_in(pl.Series(queries.user_ids).implode())
        return Exam(queries, self.train, self.test.filter(kept), self.repeats, self.k)

    def grade(self, model: Recommender, *, resamples: int = 2_000) -> RankingResult:
        """How the model does."""
        lists = recommend(model, self.queries, k=self.k, repeats=self.repeats)
        return evaluate(
            lists,
            train=self.train,
            test=self.test,
            repeats=self.repeats,
            k=self.k,
            resamples=resamples,
        )

    def score(self, model: Recommender, *, group: str = "known") -> float:
        """The model's mean NDCG over a group of requests."""
        values = self.grade(model, resamples=0).values(f"ndcg@{self.k}", group).to_numpy()
        return float(values.mean()) if len(values) else 0.0


def best_half_life(
    log: InteractionLog, exam: Exam, *, at: int, half_lives_s: tuple[float, ...]
) -> tuple[float, pl.DataFrame]:
    """The half-life of recency popularity that does best, and the figures of all of them."""
    graded = exam.known_only() if exam.queries.is_known.any() else exam
    rows = [
        {
            "half_life_days": half_life_s / 86_400,
            f"ndcg@{exam.k}": graded.score(
                RecencyPopularity.fit(log, at=at, half_life_s=half_life_s), group="all"
            ),
        }
        for half_life_s in half_lives_s
    ]
    table = pl.DataFrame(rows)
    best = int(table[f"ndcg@{exam.k}"].arg_max() or 0)
    return half_lives_s[best], table


def baselines(
    log: InteractionLog,
    prior: RecencyPopularity,
    *,
    prior_weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> dict[str, Recommender]:
    """Every baseline by name, each also with the recency prior; no history: recency popularity.

    EASE is left out above 6,000 items, where its dense matrix does not pay.

    Args:
        log: what they learn from.
        prior: recency popularity as of the same instant.
        prior_weights: weight of the prior by model; default 1. See ``best_priors``.
        seed: of ALS.
    """
    personal: dict[str, Recommender] = {"ItemKNN": ItemKNN.fit(log), "ALS": ALS.fit(log, seed=seed)}
    if len(log.items) <= EASE_ITEMS:
        personal["EASE"] = EASE.fit(log)
    weights = prior_weights or {}
    models: dict[str, Recommender] = {
        "recency popularity": prior,
        "popularity": Popularity.fit(log),
    }
    for name, model in personal.items():
        blend = WithRecencyPrior(model, prior, weights.get(name, 1.0))
        models[name] = WithFallback(model, prior)
        models[f"{name} + recency"] = WithFallback(blend, prior)
    return models


def best_priors(log: InteractionLog, prior: RecencyPopularity, exam: Exam) -> dict[str, float]:
    """For each personal baseline the weight of the recency prior that does best."""
    graded = exam.known_only()
    plain = {
        name: model.model
        for name, model in baselines(log, prior).items()
        if isinstance(model, WithFallback) and not isinstance(model.model, WithRecencyPrior)
    }
    return {
        name: max(
            PRIOR_WEIGHTS,
            key=lambda weight: graded.score(WithRecencyPrior(model, prior, weight), group="all"),
        )
        for name, model in plain.items()
    }


def result_table(
    results: Mapping[str, RankingResult], *, reference: str, metric: str
) -> pl.DataFrame:
    """One row a model, the best first: metric by group with bounds, difference to a reference.

    Args:
        results: by model, all of one exam.
        reference: the model that differences are taken to; they are paired by user.
        metric: such as ``"ndcg@20"``.
    """
    rows = []
    for name, result in results.items():
        row: dict[str, object] = {"model": name}
        for group in RESULT_GROUPS:
            interval = result.interval(metric, group)
            row[f"{metric} {group}"] = interval and interval.value
            if interval is None or group == "all":
                continue
            row["low"], row["high"], row["n"] = interval.low, interval.high, interval.n_users
            gap = paired_difference(result, results[reference], metric=metric, group=group)
            row[f"vs {reference}"] = f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
        recall = result.interval(metric.replace("ndcg", "recall"), "all")
        row[metric.replace("ndcg", "recall")] = recall and recall.value
        rows.append(row | result.lists)
    return pl.DataFrame(rows).sort(f"{metric} all", descending=True)
