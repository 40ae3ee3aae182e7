"""Policies side by side on the same days: cost, energy, carbon, missed deadlines, and savings.

The days that are judged on share no seed with those that any dial was chosen on.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from recbench.cluster.clairvoyant import least_cost
from recbench.cluster.load_trace import LoadTrace
from recbench.cluster.rivals import DaskRule, Fixed, Reactive, best_static
from recbench.cluster.scaling import ScalingPolicy
from recbench.cluster.simulate import Machine, Outcome, ScalingRule, simulate
from recbench.evaluation.intervals import bootstrap_mean

__all__ = ["EVALUATION_SEEDS", "arms_table", "claims", "compare", "result", "savings_table"]

EVALUATION_SEEDS = range(20_000, 20_040)
HEADROOM, DASK_DURATION_S = 0.4, 360.0  # chosen by tune.py on its own seeds
MOST_OVER_BOUND = 0.15
OURS, BOUND, STATIC = "ours", "clairvoyant bound", "best static"
ARMS = ("fixed, largest", STATIC, "reactive", "reactive with headroom", "Dask's rule", OURS, BOUND)


class Day(NamedTuple):
    """What every arm made of one trace: numbers, and its workers over time."""

    frame: pl.DataFrame  # a row an arm
    workers: dict[str, tuple[tuple[float, int, int], ...]]  # time, alive, busy


def compare(
    traces: Iterable[LoadTrace],
    machine: Machine,
    policy: ScalingPolicy,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> list[Day]:
    """Every arm on every trace; with failures and starts drawn alike for all of them."""
    days = []
    for trace in traces:
        days.append(_day(trace, machine, policy))
        ours = days[-1].frame.filter(pl.col("arm") == OURS)
        say(f"{trace.name}: ours {ours['cost'][0]:.2f}, {ours['missed'][0]} missed")
    return days


def arms_table(frame: pl.DataFrame) -> pl.DataFrame:
    """A row an arm: means over the days, misses over all of them; the bound has money only."""
    means = [pl.col(name).mean() for name in ("workers", "cost", "kwh", "carbon_kg", "starts")]
    return (
        frame.group_by("arm", maintain_order=True)
        .agg(
            *means,
            pl.col("missed").sum(),
            # null for the bound, which is money alone
            (pl.col("busy_s").mean() / pl.col("paid_s").mean()).alias("busy_frac"),
        )
        .sort(pl.col("arm").replace_strict(ARMS, range(len(ARMS))))
    )


def savings_table(frame: pl.DataFrame) -> pl.DataFrame:
    """What ours saves of each other arm's cost, a share by day, with 95 % over paired days.

    Against the bound it is negative: minus how much more than the least ours costs.
    """
    costs = frame.pivot(on="arm", index="trace", values="cost")
    missed = dict(frame.group_by("arm").agg(pl.col("missed").sum()).iter_rows())
    rows = []
    for arm in ARMS:
        if arm == OURS:
            continue
        saved = bootstrap_mean(1 - (costs[OURS] / costs[arm]).to_numpy())
        rows.append(
            {
                "against": arm,
                "saved": saved.value,
                "low": saved.low,
                "high": saved.high,
                "days": saved.n_users,
                "missed": missed[arm],
                "missed by ours": missed[OURS],
            }
        )
    return pl.DataFrame(rows)


def result(savings: pl.DataFrame) -> dict[str, float]:
    """Savings by arm, deadlines missed, and whether each bar holds (1) or not (0)."""
    by_arm = {row["against"]: row for row in savings.to_dicts()}
    over = -by_arm[BOUND]["saved"]
    static, headroom = by_arm[STATIC], by_arm["reactive with headroom"]
    found = {f"saved/{arm}": float(row["saved"]) for arm, row in by_arm.items() if arm != BOUND}
    return found | {
        "over_bound": float(over),
        "missed": float(static["missed by ours"]),
        "missed_by_best_static": float(static["missed"]),
        "bar_misses": float(static["missed by ours"] <= static["missed"]),
        "bar_bound": float(over <= MOST_OVER_BOUND),
        "bar_saves": float(min(static["low"], headroom["low"]) > 0),
    }


def claims(savings: pl.DataFrame) -> list[str]:
    """What ours must show, whether it holds on these days, and by which figures; a line each."""
    held, by_arm = result(savings), {row["against"]: row for row in savings.to_dicts()}
    static, headroom = by_arm[STATIC], by_arm["reactive with headroom"]
    return [
        f"{_holds(held['bar_misses'])}: misses no more deadlines than the best static size "
        f"({held['missed']:.0f} and {held['missed_by_best_static']:.0f})",
        f"{_holds(held['bar_bound'])}: at most {MOST_OVER_BOUND:.0%} dearer than the clairvoyant "
        f"bound ({held['over_bound']:.1%})",
        f"{_holds(held['bar_saves'])}: saves against the best static size "
        f"({static['low']:.1%} to {static['high']:.1%}) and against reactive with headroom "
        f"({headroom['low']:.1%} to {headroom['high']:.1%})",
    ]


def _holds(bar: float) -> str:
    return "holds" if bar else "DOES NOT HOLD"


def _policies(policy: ScalingPolicy, machine: Machine) -> Mapping[str, ScalingRule]:
    """Every arm that is a policy, the best static size and the bound apart."""
    low = policy.minimum
    return {
        "fixed, largest": Fixed(machine.most),
        "reactive": Reactive(minimum=low),
        "reactive with headroom": Reactive(HEADROOM, minimum=low),
        "Dask's rule": DaskRule(DASK_DURATION_S, minimum=low),
        OURS: policy,
    }


def _day(trace: LoadTrace, machine: Machine, policy: ScalingPolicy) -> Day:
    rows, workers = [], {}
    for arm, each in _policies(policy, machine).items():
        outcome = simulate(trace, each, machine)
        rows.append(_row(trace, arm, outcome))
        workers[arm] = outcome.workers
    size, outcome = best_static(trace, machine)
    rows.append(_row(trace, STATIC, outcome) | {"workers": float(size)})
    workers[STATIC] = outcome.workers
    bound = least_cost(trace, startup_s=machine.least_startup_s)
    rows.append({"trace": trace.name, "arm": BOUND, "cost": bound, "missed": 0})
    return Day(pl.DataFrame(rows, schema_overrides={"missed": pl.Int64}), workers)


def _row(trace: LoadTrace, arm: str, outcome: Outcome) -> dict[str, object]:
    return {
        "trace": trace.name,
        "arm": arm,
        "workers": float(np.mean([alive for _, alive, _ in outcome.workers])),
        "cost": outcome.cost,
        "kwh": outcome.kwh,
        "carbon_kg": outcome.carbon_kg,
        "missed": outcome.n_missed,
        "n_jobs": outcome.n_jobs,
        "starts": outcome.starts,
        "lost_s": outcome.lost_s,
        "paid_s": outcome.paid_s,
        "busy_s": outcome.busy_s,
    }
