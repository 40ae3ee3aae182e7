"""Twin worlds, and the shared-traffic experiment that one has instead when there is only one.

Twins have one seed: the same people come at the same time, the same items are born, and what is
shown in the same request meets the same luck. Only the cadence differs, so that the difference of
what they expect is the effect of the cadence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.datasets.world.closed_loop import Shown, run
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World
from recbench.errors import InputError
from recbench.evaluation.intervals import LEVEL
from recbench.simulation.effects import mean_over_seeds
from recbench.simulation.refreshing import DAILY, QUARTERLY, Cadence, RefreshedPolicy
from recbench.simulation.split import SplitPolicy

__all__ = ["METRICS", "TwinPlan", "experiment", "interference", "summary", "twins"]

METRICS = ("click_rate", "watch_s")  # per showing
RESAMPLES = 400

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinPlan:
    """How long arms learn before they are compared, and which."""

    arms: tuple[Cadence, Cadence] = (DAILY, QUARTERLY)  # control, treatment
    warmup_days: float = 3.0  # a daily arm is steady then
    tick_s: float = 450.0  # half of the fresher cadence

    def require_fit(self, settings: WorldSettings) -> None:
        """Refuse a world that ends before anything is compared."""
        if settings.days <= self.warmup_days:
            raise InputError(
                f"The world must outlast the {self.warmup_days:g} days of warm-up, got "
                f"{settings.days:g} days"
            )


def twins(settings: WorldSettings, plan: TwinPlan, *, seeds: Sequence[int]) -> pl.DataFrame:
    """``seed, arm, click_rate, watch_s, refreshes``: what each arm's whole world expects.

    Both are true means over all that was shown after the warm-up, not counts of clicks.
    """
    plan.require_fit(settings)
    rows = []
    for seed in seeds:
        world = World.drawn(settings, seed=seed)
        for cadence in plan.arms:
            policy = RefreshedPolicy(settings, cadence, seed=seed)
            shown = run(world, policy, tick_s=plan.tick_s)
            counted = shown.exposures.hours >= 24 * plan.warmup_days
            rows.append(
                {
                    "seed": seed,
                    "arm": cadence.name,
                    "click_rate": shown.truth.click_probability[counted].mean(),
                    "watch_s": shown.truth.expected_watch_s[counted].mean(),
                    "refreshes": policy.n_refreshes,
                }
            )
    return pl.DataFrame(rows)


def experiment(
    settings: WorldSettings, plan: TwinPlan, *, seeds: Sequence[int], pooled: bool
) -> pl.DataFrame:
    """``seed, metric, estimate, low, high``: relative effects as an experimenter would see them.

    Half of the users of one world meet each arm; clicks and watch times are counted, and the
    interval is a bootstrap over users.

    Args:
        settings: of the world.
        plan: the arms, the warm-up.
        seeds: an experiment each.
        pooled: both arms learn from all traffic, as two releases beside each other do; else each
            learns from its own users only, and so from half as much as it would alone.
    """
    plan.require_fit(settings)
    rows = []
    for seed in seeds:
        world = World.drawn(settings, seed=seed)
        control, treatment = (RefreshedPolicy(settings, arm, seed=seed) for arm in plan.arms)
        split = SplitPolicy((control, treatment), pooled=pooled, seed=seed)
        shown = run(world, split, tick_s=plan.tick_s)
        treated = split.arm_of(np.arange(settings.n_users)) == 1
        for metric, value in zip(METRICS, (shown.clicked, shown.watch_s), strict=True):
            counted = shown.exposures.hours >= 24 * plan.warmup_days
            sums = _sums_by_user(shown, value.astype(float), counted, n_users=settings.n_users)
            estimate, low, high = _relative(sums, treated, seed=seed)
            rows.append(
                {"seed": seed, "metric": metric, "estimate": estimate, "low": low, "high": high}
            )
    return pl.DataFrame(rows)


def interference(true: pl.DataFrame, estimated: pl.DataFrame, plan: TwinPlan) -> pl.DataFrame:
    """``seed, metric, true, estimate, bias, covered``: the experiment beside its twins.

    Args:
        true: of ``twins``.
        estimated: of ``experiment``, of the same seeds.
        plan: that both followed.
    """
    control, treatment = (arm.name for arm in plan.arms)
    wide = true.unpivot(on=METRICS, index=["seed", "arm"], variable_name="metric").pivot(
        "arm", index=["seed", "metric"], values="value"
    )
    effect = (pl.col(treatment) / pl.col(control) - 1).alias("true")
    return (
        wide.select("seed", "metric", effect)
        .join(estimated, on=["seed", "metric"], how="inner")
        .with_columns(
            bias=pl.col("estimate") - pl.col("true"),
            covered=pl.col("true").is_between(pl.col("low"), pl.col("high")),
        )
        .sort("metric", "seed")
    )


def summary(found: pl.DataFrame) -> pl.DataFrame:
    """``design, metric, true, estimate, bias, covered``: effects over seeds with intervals.

    Args:
        found: of ``interference``, with a column ``design``; at least two seeds.
    """
    rows = []
    for (design, metric), part in found.group_by("design", "metric", maintain_order=True):
        values = {name: part[name].to_numpy() for name in ("true", "estimate", "bias")}
        told = {name: str(mean_over_seeds(value)) for name, value in values.items()}
        covered = f"{part['covered'].sum()} of {len(part)}"
        rows.append({"design": design, "metric": metric, **told, "covered": covered})
    return pl.DataFrame(rows)


def _sums_by_user(
    shown: Shown, value: Floats, counted: npt.NDArray[np.bool_], *, n_users: int
) -> Floats:
    """(U, 2) showings and the sum of their values."""
    users = shown.exposures.user_ids[counted]
    return np.column_stack(
        [np.bincount(users, minlength=n_users), np.bincount(users, value[counted], n_users)]
    )


def _relative(
    sums: Floats, treated: npt.NDArray[np.bool_], *, seed: int
) -> tuple[float, float, float]:
    """The relative difference of two ratios of sums with its interval, users resampled by arm."""
    rng = np.random.default_rng([seed, 5])
    means = []
    came = sums[:, 0] > 0
    for arm in (sums[treated & came], sums[~treated & came]):
        n = len(arm)
        if not n:
            raise InputError("No user of one arm came after the warm-up; take more users")
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) @ arm
        means.append(np.concatenate([[arm.sum(axis=0)], drawn]))
    effects = (means[0][:, 1] / means[0][:, 0]) / (means[1][:, 1] / means[1][:, 0]) - 1
    low, high = np.quantile(effects[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(effects[0]), float(low), float(high)
