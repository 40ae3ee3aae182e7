"""A run that has the time begins in the cheapest hours that suffice before it is due."""

import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from recbench.cluster.levers import seconds_to_wait
from recbench.cluster.load import Hours
from recbench.cluster.scaling import DueWork, ScalingPolicy
from recbench.errors import InputError

__all__ = ["usual_seconds", "wait_for_cheap_hours"]

ASK_AGAIN_S = 600.0  # a forecast may have been written anew
LATEST = 10  # runs that tell how long one takes


def wait_for_cheap_hours(
    hours: Hours,
    *,
    within_s: float,
    takes_s: float,
    say: Callable[[float], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once the run should begin, at once where no later hour is cheaper.

    The rule is that of rebuilds in `cluster.scaling`, which plans with half an hour to spare.

    Args:
        hours: price and carbon from now on, asked again every ten minutes.
        within_s: from now until the run must be done.
        takes_s: what it takes.
        say: told the seconds to wait, whenever they are asked.
        sleep: waits so many seconds.
    """
    policy, left_s = ScalingPolicy(), within_s
    while True:
        work = DueWork(work_s=takes_s, due_s=left_s, may_wait=True)
        wait_s = seconds_to_wait(work, hours(), policy=policy, startup_s=0.0)
        if wait_s <= 0:
            return
        say(wait_s)
        slept_s = min(wait_s, ASK_AGAIN_S)
        sleep(slept_s)
        left_s -= slept_s


def usual_seconds(notebook: str, runs: Path) -> float:
    """The median of the latest succeeded runs of a notebook, by its name.

    Raises:
        InputError: it has not succeeded yet.
    """
    from recbench.jobs.frame import runs_frame

    done = runs_frame(runs).filter(pl.col("status") == "succeeded", pl.col("notebook") == notebook)[
        "duration_s"
    ]
    usual = done.drop_nulls().tail(LATEST).median()
    if usual is None:
        raise InputError(f"No run of `{notebook}` in {runs} has succeeded yet: say what it --takes")
    return float(usual)  # type: ignore[arg-type]  # of floats
