"""A run that has the time begins in the cheapest hours that suffice before it is due."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from recbench.cluster.levers import seconds_to_wait
from recbench.cluster.load import Hours
from recbench.cluster.scaling import Hour, ScalingPolicy
from recbench.errors import InputError

__all__ = [
    "ASK_AGAIN_S",
    "Beginning",
    "cheapest",
    "least_within_s",
    "usual_seconds",
    "wait_for_cheap_hours",
]

ASK_AGAIN_S = 600.0  # a forecast may have been written anew
LATEST = 10  # runs that tell how long one takes


class Beginning(NamedTuple):
    """When a run should begin, and why not now; no wait, no reason."""

    wait_s: float
    why: str = ""


def cheapest(hours: Sequence[Hour], *, takes_s: float, left_s: float) -> Beginning:
    """When a run begins, planned with half an hour to spare.

    Args:
        hours: price and carbon from now on.
        takes_s: what it takes.
        left_s: from now until it must be done.
    """
    policy = ScalingPolicy()
    wait_s = seconds_to_wait(hours, takes_s=takes_s, left_s=left_s, policy=policy)
    if wait_s <= 0:
        return Beginning(0.0)
    if hours[0].power_w < policy.worker_w:
        return Beginning(wait_s, f"a worker may not draw its {policy.worker_w:g} W now")
    now, then = _mean(hours, 0.0, takes_s), _mean(hours, wait_s, takes_s)
    carbon = f", {then[1]:.4g} g of CO2 a kWh then, {now[1]:.4g} now" if then[1] != now[1] else ""
    return Beginning(wait_s, f"a worker-hour costs {then[0]:.4g} then, {now[0]:.4g} now{carbon}")


def least_within_s(takes_s: float) -> float:
    """Seconds from which on a run that takes so long can wait at all."""
    policy = ScalingPolicy()
    return policy.later_margin_s + policy.safety * takes_s


def wait_for_cheap_hours(
    hours: Hours,
    *,
    within_s: float,
    takes_s: float,
    say: Callable[[Beginning], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once the run should begin, at once where no later hour is cheaper.

    Args:
        hours: price and carbon from now on, asked again every ten minutes.
        within_s: from now until the run must be done.
        takes_s: what it takes.
        say: told when it will begin, whenever that is asked.
        sleep: waits so many seconds.
    """
    left_s = within_s
    while True:
        begins = cheapest(hours(), takes_s=takes_s, left_s=left_s)
        if not begins.wait_s:
            return
        say(begins)
        slept_s = min(begins.wait_s, ASK_AGAIN_S)
        sleep(slept_s)
        left_s -= slept_s


def usual_seconds(notebook: str, runs: Path) -> float:
    """The median of the latest succeeded runs of a notebook, by its name.

    Raises:
        InputError: it has not succeeded yet.
    """
    import polars as pl

    from recbench.jobs.frame import runs_frame

    done = runs_frame(runs).filter(pl.col("status") == "succeeded", pl.col("notebook") == notebook)[
        "duration_s"
    ]
    usual = done.drop_nulls().tail(LATEST).median()
    if usual is None:
        raise InputError(f"No run of `{notebook}` in {runs} has succeeded yet: say what it --takes")
    return float(usual)  # type: ignore[arg-type]  # of floats


def _mean(hours: Sequence[Hour], begin_s: float, takes_s: float) -> tuple[float, float]:
    """Price and carbon of the hours that a run falls into, by its time in each."""
    held, at_s = [], 0.0
    for hour in hours:
        held.append(max(0.0, min(begin_s + takes_s, at_s + hour.seconds) - max(begin_s, at_s)))
        at_s += hour.seconds
    price = sum(s * hour.price for s, hour in zip(held, hours, strict=True))
    carbon = sum(s * hour.carbon_g_per_kwh for s, hour in zip(held, hours, strict=True))
    return price / sum(held), carbon / sum(held)
