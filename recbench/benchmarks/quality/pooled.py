"""Several cuts and seeds together: means, and paired differences clustered by user."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.intervals import LEVEL, RESAMPLES, Interval

__all__ = [
    "best_baseline",
    "clustered_difference",
    "comparison",
    "pooled_table",
    "price_table",
    "routing_table",
]

OURS = ("two-stage", "two-tower")

MODEL, CUT, SEED, REQUEST = "model", "cut", "seed", "request"
KEY = [CUT, REQUEST]


def clustered_difference(
    judged: pl.DataFrame,
    a: str,
    b: str | None,
    *,
    metric: str,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """The mean over requests of ``a - b``, or of ``a`` alone; users drawn with all their requests.

    A request of several seeds counts once, with its mean. Requests without a value are left out.

    Args:
        judged: ``model, cut, seed, request, user_id`` and the metric.
        a: a model.
        b: the model it is compared with, on the same requests.
        metric: a column.
        seed: of the resampling.
        resamples: how many.

    Raises:
        InputError: the two were not asked the same, or ``a`` was not asked at all.
    """
    frame = _by_request(judged, a, metric)
    if b is not None:
        other = _by_request(judged, b, metric)
        joined = frame.join(other, on=KEY, suffix=" b")
        if not len(joined) == len(frame) == len(other):
            raise InputError(
                f"{a!r} and {b!r} were not asked the same: {len(frame)} and {len(other)} requests,"
                f" {len(joined)} in common"
            )
        frame = joined.with_columns(pl.col("value") - pl.col("value b"))
    if not len(frame):
        raise InputError(f"There is no request that {a!r} answered with a value of {metric!r}")
    of_user = frame.group_by(c.USER_ID).agg(pl.len(), pl.col("value").sum()).sort(c.USER_ID)
    n, total = of_user["len"].to_numpy().astype(float), of_user["value"].to_numpy()
    rng, users = np.random.default_rng(seed), len(of_user)
    means = np.empty(resamples)
    for at in range(resamples):
        drawn = np.bincount(rng.integers(0, users, users), minlength=users)
        means[at] = drawn @ total / (drawn @ n)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(total.sum() / n.sum()), float(low), float(high), users)


def pooled_table(
    judged: pl.DataFrame, costs: pl.DataFrame, *, reference: str, metrics: Sequence[str]
) -> pl.DataFrame:
    """One row a model, the best first: each metric's mean, the difference to one, costs.

    Args:
        judged: as in ``clustered_difference``.
        costs: ``model, cut, seed`` and figures; their means are shown.
        reference: the model that differences are taken to.
        metrics: columns; the first decides the order and is compared.
    """
    metrics = [name for name in metrics if name in judged.columns]
    rows = []
    for name in judged[MODEL].unique(maintain_order=True):
        row: dict[str, object] = {MODEL: name}
        for metric in metrics:
            found = clustered_difference(judged, name, None, metric=metric)
            row[metric] = found.value
            if metric == metrics[0]:
                row |= {"low": found.low, "high": found.high, "users": found.n_users}
        gap = clustered_difference(judged, name, reference, metric=metrics[0])
        row[f"vs {reference}"] = f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
        rows.append(row)
    figures = [
        n for n in costs.columns if n not in {MODEL, CUT, SEED} and costs[n].dtype.is_numeric()
    ]
    mean_costs = costs.group_by(MODEL).agg(pl.col(figures).mean())
    table = pl.DataFrame(rows).join(mean_costs, on=MODEL, how="left")
    return table.sort(metrics[0], descending=True)


def best_baseline(judged: pl.DataFrame, *, metric: str) -> str:
    """The model with the largest mean over requests that is none of ours."""
    rivals = judged.filter(~pl.any_horizontal(pl.col(MODEL).str.starts_with(n) for n in OURS))
    means = rivals.group_by(MODEL, maintain_order=True).agg(pl.col(metric).mean())
    return str(means.sort(metric, descending=True)[MODEL][0])


def comparison(
    judged: pl.DataFrame,
    *,
    rival: str,
    metrics: Sequence[str],
    models: Sequence[str] | None = None,
) -> pl.DataFrame:
    """A row a model and metric: the model's mean, the rival's, and the paired difference.

    ``gain_frac`` is the difference over the rival's mean, with the bounds of the difference.

    Args:
        judged: as in ``clustered_difference``.
        rival: that all are compared with.
        metrics: columns; those that are absent are left out.
        models: which are compared; default: all of ours.
    """
    rows = []
    ours = [n for n in judged[MODEL].unique(maintain_order=True) if str(n).startswith(OURS)]
    for name in ours if models is None else models:
        for metric in (m for m in metrics if m in judged.columns):
            own = clustered_difference(judged, name, None, metric=metric)
            theirs = clustered_difference(judged, rival, None, metric=metric)
            gap = clustered_difference(judged, name, rival, metric=metric)
            row = {MODEL: name, "metric": metric, "ours": own.value, rival: theirs.value}
            row |= {"difference": gap.value, "low": gap.low, "high": gap.high}
            row["gain_frac"] = gap.value / theirs.value if theirs.value else None
            rows.append(row | {"users": gap.n_users})
    return pl.DataFrame(rows)


def price_table(price: pl.DataFrame) -> pl.DataFrame:
    """``share, value, low, high, tail_recall``, and the paired loss against no constraint."""
    named = price.with_columns(pl.format("{}", "share").alias(MODEL), pl.lit(0).alias(SEED))
    free, rows = str(price["share"].min()), []
    for share in sorted(price["share"].unique()):
        own = clustered_difference(named, str(share), None, metric="value")
        loss = clustered_difference(named, str(share), free, metric="value")
        found = named.filter(pl.col("share") == share)["tail_recall"].mean()
        row = {"share": share, "value": own.value, "low": own.low, "high": own.high}
        row |= {"tail_recall": found, "loss": -loss.value}
        rows.append(row | {"loss_low": -loss.high, "loss_high": -loss.low})
    return pl.DataFrame(rows)


def routing_table(routing: pl.DataFrame) -> pl.DataFrame:
    """``layer, decile, expert, n_choices, share`` over all cuts and seeds; empty without experts.

    An expert has a number, not a meaning: over seeds only the spread is of interest.
    """
    summed = routing.group_by("layer", "decile", "expert").agg(pl.col("n_choices").sum())
    share = pl.col("n_choices") / pl.col("n_choices").sum().over("layer", "decile").clip(1)
    return summed.sort("layer", "decile", "expert").with_columns(share.alias("share"))


def _by_request(judged: pl.DataFrame, model: str, metric: str) -> pl.DataFrame:
    own = judged.filter(pl.col(MODEL) == model).drop_nulls(metric)
    return own.group_by(*KEY, maintain_order=True).agg(
        pl.col(c.USER_ID).first(), pl.col(metric).mean().alias("value")
    )
