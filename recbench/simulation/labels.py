"""Labels that come late: what waiting for them, and what not waiting, does to a policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World
from recbench.simulation.counters import Labels
from recbench.simulation.refreshing import QUARTERLY, RefreshedPolicy
from recbench.simulation.twins import TwinPlan

__all__ = ["LabelArm", "calibration", "delayed_labels", "label_arms"]

N_BINS = 10

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelArm:
    """How exposures count whose click may still come."""

    labels: Labels
    wait_h: float = 0.0


def label_arms(label_delay_s: float) -> Mapping[str, LabelArm]:
    """The arms of the comparison, by name; who waits waits three mean delays: 95 % of clicks."""
    return {
        "naive": LabelArm("naive"),
        "fake negatives, weighted": LabelArm("weighted"),
        "wait for the label": LabelArm("corrected", wait_h=3 * label_delay_s / 3600),
        "corrected counts": LabelArm("corrected"),
    }


def delayed_labels(
    settings: WorldSettings, plan: TwinPlan, *, seeds: Sequence[int]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Each arm serving the same worlds, refreshed every 15 minutes, and its calibration.

    Returns:
        ``seed, arm, click_rate, watch_s, over, error``: true means after the warm-up, the mean
        prediction over the mean truth, and the mean gap between the two over ten parts that are
        equally large, by prediction; and ``arm, bin, predicted, true, n`` over all seeds.
    """
    plan.require_fit(settings)
    rows, curves = [], []
    for seed in seeds:
        world = World.drawn(settings, seed=seed)
        for name, arm in label_arms(settings.label_delay_s).items():
            figures, curve = _served(world, arm, plan)
            rows.append({"seed": seed, "arm": name, **figures})
            curves.append(curve.with_columns(arm=pl.lit(name)))
    n = pl.col("n")
    means = [((pl.col(x) * n).sum() / n.sum()).alias(x) for x in ("predicted", "true")]
    grouped = pl.concat(curves).group_by("arm", "bin", maintain_order=True)
    return pl.DataFrame(rows), grouped.agg(*means, n.sum())


def _served(world: World, arm: LabelArm, plan: TwinPlan) -> tuple[dict[str, float], pl.DataFrame]:
    policy = RefreshedPolicy(
        world.settings, QUARTERLY, labels=arm.labels, wait_h=arm.wait_h, seed=world.seed
    )
    shown = run(world, policy, tick_s=plan.tick_s)
    counted = shown.exposures.hours >= 24 * plan.warmup_days
    chance = shown.truth.click_probability[counted]
    predicted = np.concatenate([part.ravel() for part in policy.predicted])[counted]
    curve = calibration(predicted, chance)
    gap = np.abs(curve["predicted"].to_numpy() - curve["true"].to_numpy())
    figures = {
        "click_rate": chance.mean(),
        "watch_s": shown.truth.expected_watch_s[counted].mean(),
        "over": np.nanmean(predicted) / chance[~np.isnan(predicted)].mean(),
        "error": np.average(gap, weights=curve["n"].to_numpy()),
    }
    return {name: float(value) for name, value in figures.items()}, curve


def calibration(predicted: Floats, true: Floats) -> pl.DataFrame:
    """``bin, predicted, true, n``: means of ten equally large parts, the lowest predictions first.

    Showings without a prediction are left out.
    """
    known = np.flatnonzero(~np.isnan(predicted))
    order = known[np.argsort(predicted[known], kind="stable")]
    parts = [part for part in np.array_split(order, N_BINS) if len(part)]
    return pl.DataFrame(
        {
            "bin": list(range(len(parts))),
            "predicted": [predicted[part].mean() for part in parts],
            "true": [true[part].mean() for part in parts],
            "n": [len(part) for part in parts],
        }
    )
