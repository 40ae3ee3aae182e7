"""What a study shows and is remembered by: its log and split, its features, its result."""

from collections.abc import Mapping

import polars as pl

from recbench.evaluation.ranking import RankingResult, paired_difference
from recbench.features.batch import Engine, collect, window_features
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.tables.describe import describe
from recbench.tables.log import EventLog
from recbench.tables.split import TimeSplit

__all__ = ["feature_table", "result_figures", "split_facts"]


def split_facts(data: EventLog, split: TimeSplit) -> pl.DataFrame:
    """The shape of a log and of its split: ``fact, value``."""
    facts = describe(data) | {
        "validation_from": split.validation_ts,
        "test_from": split.test_ts,
        "n_train": len(split.train),
        "n_validation": len(split.validation),
        "n_test": len(split.test),
    }
    return pl.DataFrame({"fact": list(facts), "value": [str(v) for v in facts.values()]})


def feature_table(events: pl.DataFrame, *, engine: Engine) -> pl.DataFrame:
    """Each shipped window feature over all events: how often it has a value, and how large."""
    names = [feature.name for feature in DEFAULT_WINDOW_FEATURES]
    query = window_features(events.lazy(), DEFAULT_WINDOW_FEATURES, engine=engine).select(names)
    values = collect(query, engine=engine)
    return pl.DataFrame(
        {
            "feature": names,
            "window": [str(feature.window) for feature in DEFAULT_WINDOW_FEATURES],
            "nonzero_frac": [float((values[name] != 0).mean() or 0) for name in names],  # type: ignore[arg-type]  # a share
            "median": [values[name].median() for name in names],
            "p99": [values[name].quantile(0.99) for name in names],
        }
    )


def result_figures(
    results: Mapping[str, RankingResult], *, model: str, reference: str, k: int
) -> dict[str, float]:
    """NDCG, recall and coverage of a model and its reference, and the gain on known users.

    Args:
        results: of the test.
        model: name among ``results``.
        reference: another, which the gain is over.
        k: length of lists.
    """
    ndcg, recall = f"ndcg@{k}", f"recall@{k}"
    figures: dict[str, float] = {}
    for name in (model, reference):
        result = results[name]
        for metric, group in ((ndcg, "known"), (ndcg, "all"), (recall, "all")):
            if (interval := result.interval(metric, group)) is not None:
                figures[f"{name}/{metric}_{group}"] = interval.value
        figures[f"{name}/coverage@{k}"] = result.lists[f"coverage@{k}"]
    if len(results[model].values(ndcg, "known")):
        gap = paired_difference(results[model], results[reference], metric=ndcg, group="known")
        figures |= {"gain_known": gap.value, "gain_known_low": gap.low}
        figures |= {"gain_known_high": gap.high, "n_known": gap.n_users}
    return figures
