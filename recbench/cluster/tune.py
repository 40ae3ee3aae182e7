"""What the dials of every arm were chosen by: the same traces, the same rule, kept apart from others.

Of the settings that miss no more deadlines than sixty-four fixed workers do, the cheapest; if none
does, the one that misses fewest.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import polars as pl

from recbench.cluster.load_trace import LoadTrace, day_of_load
from recbench.cluster.rivals import DaskRule, Fixed, Reactive
from recbench.cluster.scaling import ScalingPolicy
from recbench.cluster.simulate import Machine, Policy, simulate

__all__ = ["TUNING_SEEDS", "chosen", "tried", "tune"]

TUNING_SEEDS = range(12)  # no trace of these is ever judged on
HEADROOMS = (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)
DURATIONS_S = (5.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 420.0)
MARGINS_S = (300.0, 360.0, 420.0, 480.0)
SAFETIES = (1.15, 1.3, 1.45)
PATIENCES = (0.5, 1.0, 2.0)


def tune(
    machine: Machine,
    *,
    seeds: Sequence[int] = TUNING_SEEDS,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, pl.DataFrame]:
    """What each setting of each arm cost and missed on the tuning traces, by arm.

    Ours is tuned in two rounds: margin and safety, then patience.
    """
    traces = [day_of_load(seed) for seed in seeds]
    allowed = sum(simulate(trace, Fixed(machine.most), machine).n_missed for trace in traces)
    found = {}
    reactive = {f"{headroom:g}": Reactive(headroom) for headroom in HEADROOMS}
    found["reactive with headroom"] = tried(reactive, traces, machine, allowed=allowed, say=say)
    dask = {f"{seconds:g}": DaskRule(seconds) for seconds in DURATIONS_S}
    found["Dask's rule"] = tried(dask, traces, machine, allowed=allowed, say=say)
    ours = _named(
        ScalingPolicy(margin_s=margin_s, safety=safety)
        for margin_s in MARGINS_S
        for safety in SAFETIES
    )
    first = tried(ours, traces, machine, allowed=allowed, say=say)
    best = ours[chosen(first)]
    more = _named(replace(best, patience=patience) for patience in PATIENCES)
    second = tried(more, traces, machine, allowed=allowed, say=say)
    found["ours"] = pl.concat([first, second]).unique("setting", maintain_order=True)
    return found


def tried(
    policies: Mapping[str, Policy],
    traces: Iterable[LoadTrace],
    machine: Machine,
    *,
    allowed: int,
    say: Callable[[str], None] = lambda _: None,
) -> pl.DataFrame:
    """A row a setting: ``setting``, ``cost``, ``missed`` over all traces, ``serves``."""
    rows, known = [], list(traces)
    for setting, policy in policies.items():
        outcomes = [simulate(trace, policy, machine) for trace in known]
        cost = sum(outcome.cost for outcome in outcomes)
        missed = sum(outcome.n_missed for outcome in outcomes)
        rows.append(
            {"setting": setting, "cost": cost, "missed": missed, "serves": missed <= allowed}
        )
        say(f"{type(policy).__name__} {setting}: {cost:.2f}, {missed} missed")
    return pl.DataFrame(rows)


def chosen(table: pl.DataFrame) -> str:
    """The setting that the rule takes."""
    serving = table.filter("serves")
    order = ["cost"] if len(serving) else ["missed", "cost"]
    return str((serving if len(serving) else table).sort(order)["setting"][0])


def _named(policies: Iterable[ScalingPolicy]) -> dict[str, Policy]:
    return {
        f"margin {p.margin_s:g} s, safety {p.safety:g}, patience {p.patience:g}": p
        for p in policies
    }
