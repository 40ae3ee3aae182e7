"""One test, many models: the baselines, their dials by the validation, the result table."""

from collections.abc import Mapping

import polars as pl

from recbench.evaluation.exam import Exam
from recbench.evaluation.ranking import RankingResult, paired_difference
from recbench.evaluation.recommender import Recommender
from recbench.models.baselines import (
    ALS,
    EASE,
    ItemKNN,
    Popularity,
    RecencyPopularity,
    WithFallback,
    WithRecencyPrior,
)
from recbench.tables.queries import InteractionLog

__all__ = ["baselines", "best_half_life", "best_priors", "result_table"]

RESULT_GROUPS = ("all", "known")
PRIOR_WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
EASE_ITEMS = 6_000  # above this its dense matrix takes minutes and gigabytes


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
