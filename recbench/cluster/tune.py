"""What the dials of every arm were chosen by: the same days, kept apart from those judged on.

Settings stand in the order of their caution. Of those that are late seldom enough, the most
cautious one is taken that costs at most 3 % more than the cheapest: it is judged on days that it
has not seen. Seldom enough is: no more often than sixty-four fixed workers; for the one that
follows the load one job in a thousand, for without that grace it would have to be as dear as a
fixed size.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import polars as pl

from recbench.cluster.load_trace import LoadTrace, day_of_load
from recbench.cluster.rivals import DaskRule, Fixed, Reactive
from recbench.cluster.scaling import ScalingPolicy
from recbench.cluster.simulate import Machine, ScalingRule, simulate

__all__ = ["TUNING_SEEDS", "chosen", "tried", "tune"]

TUNING_SEEDS = range(16)  # no trace of these is ever judged on
HEADROOMS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
DURATIONS_S = (600.0, 480.0, 420.0, 360.0, 300.0, 5.0)
GRACE = 0.001  # share of jobs that may be late under the rule that follows the load
NEARLY = 1.03  # of the least cost
OURS = (  # margin_s, safety, patience, steady
    (360.0, 1.3, 0.25, 0.9),
    (420.0, 1.3, 0.25, 0.9),
    (420.0, 1.3, 1.0, 0.9),
    (360.0, 1.45, 0.25, 0.9),
    (420.0, 1.45, 0.25, 0.9),
    (480.0, 1.3, 0.25, 0.9),
)


def tune(
    machine: Machine,
    *,
    seeds: Sequence[int] = TUNING_SEEDS,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, pl.DataFrame]:
    """What each setting of each arm cost and missed on the tuning traces, by arm."""
    traces = [day_of_load(seed) for seed in seeds]
    allowed = sum(simulate(trace, Fixed(machine.most), machine).n_missed for trace in traces)
    grace = int(GRACE * sum(len(trace.jobs) for trace in traces))
    found = {}
    reactive = {f"{headroom:g}": Reactive(headroom) for headroom in HEADROOMS}
    found["reactive with headroom"] = tried(reactive, traces, machine, allowed=grace, say=say)
    dask = {f"{seconds:g}": DaskRule(seconds) for seconds in DURATIONS_S}
    found["Dask's rule"] = tried(dask, traces, machine, allowed=allowed, say=say)
    ours = {
        f"margin {m:g} s, safety {s:g}, patience {p:g}, steady {k:g}": ScalingPolicy(
            margin_s=m, safety=s, patience=p, steady=k
        )
        for m, s, p, k in OURS
    }
    found["ours"] = tried(ours, traces, machine, allowed=allowed, say=say)
    return found


def tried(
    policies: Mapping[str, ScalingRule],
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
    """The setting that the rule takes; where none serves, the one that misses fewest."""
    serving = table.filter("serves")
    if not len(serving):
        return str(table.sort("missed", "cost")["setting"][0])
    return str(serving.filter(pl.col("cost") <= NEARLY * pl.col("cost").min())["setting"][-1])
