"""What saves energy or money beside the number of workers: proposals, which change nothing.

What an hour or a refresh is worth is here, too; a GPU's power limit is in ``gpu_power``.
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from recbench.cluster.scaling import Hour, ScalingPolicy
from recbench.errors import InputError

__all__ = [
    "TrainSetting",
    "break_even_gain",
    "cheapest_in_time",
    "proposed_setting",
    "seconds_to_wait",
]

ROUNDING = 1e-9


class TrainSetting(NamedTuple):
    """One way to train, measured."""

    power_cap_w: float | None  # of the GPU; None: as it was, or there is none
    batch_size: int
    examples_per_s: float
    joules_per_example: float


def proposed_setting(measured: Sequence[TrainSetting], *, slower: float = 0.1) -> TrainSetting:
    """The setting with the fewest joules an example that is hardly slower than the fastest.

    Args:
        measured: each with its own speed and power.
        slower: share of the fastest one's speed that may be lost.

    Raises:
        InputError: nothing was measured.
    """
    if not measured:
        raise InputError("`measured` is empty: time some steps at each power cap and batch size")
    fastest = max(setting.examples_per_s for setting in measured)
    quick = [s for s in measured if s.examples_per_s >= (1 - slower) * fastest]
    return min(quick, key=lambda setting: setting.joules_per_example)


def cheapest_in_time(
    measured: Sequence[TrainSetting], *, examples: float, within_s: float
) -> TrainSetting:
    """The setting with the fewest joules an example among those that are done in time.

    Args:
        measured: each with its own speed and joules.
        examples: to train on.
        within_s: seconds that it may take.

    Raises:
        InputError: nothing was measured, or no setting is fast enough.
    """
    if not measured:
        raise InputError("`measured` is empty: time some steps at each power cap and batch size")
    in_time = [s for s in measured if examples <= s.examples_per_s * within_s]
    if not in_time:
        fastest = max(s.examples_per_s for s in measured)
        raise InputError(
            f"No setting trains {examples:g} examples within {within_s:g} s: the fastest, with "
            f"{fastest:g} examples/s, takes {examples / fastest:.0f} s"
        )
    return min(in_time, key=lambda setting: setting.joules_per_example)


def seconds_to_wait(
    hours: Sequence[Hour], *, takes_s: float, left_s: float, policy: ScalingPolicy
) -> float:
    """How long to put off what, once begun, runs to its end: until its cheapest stretch of time.

    Zero where no later stretch is cheaper, or none is known to suffice.

    Args:
        hours: now and forecast.
        takes_s: as measured; the policy's ``safety`` comes on top.
        left_s: until it must be done, by the policy's ``later_margin_s`` earlier.
        policy: says what a worker-hour costs, too.
    """
    length_s = takes_s * policy.safety
    latest_s = left_s - policy.later_margin_s - length_s
    edges = list(accumulate((hour.seconds for hour in hours), initial=0.0))
    # the cheapest stretch begins now, or begins or ends where the price changes
    begins = {0.0, *edges, *(edge - length_s for edge in edges)}
    costs = {
        begin: _cost(hours, begin, begin + length_s, policy)
        for begin in sorted(begins)
        if 0 <= begin <= min(latest_s, edges[-1] - length_s)
    }
    least = min(costs.values(), default=math.inf)
    if least == math.inf:
        return 0.0
    return next(begin for begin, cost in costs.items() if cost <= least * (1 + ROUNDING))


def _cost(hours: Sequence[Hour], begin_s: float, end_s: float, policy: ScalingPolicy) -> float:
    """Of a worker from one time to the other; infinite where its power is not to be had."""
    total, at_s = 0.0, 0.0
    for hour in hours:
        held_s = min(end_s, at_s + hour.seconds) - max(begin_s, at_s)
        at_s += hour.seconds
        if held_s > ROUNDING:
            enough = hour.power_w >= policy.worker_w
            total += held_s / 3600 * policy.worker_hour_cost(hour) if enough else math.inf
    return total


def break_even_gain(cost: float, *, worth_of_one_percent: float) -> float:
    """The relative NDCG that a refresh must gain to pay for itself: ``least_gain`` of a refresh.

    >>> break_even_gain(0.5, worth_of_one_percent=10.0)
    0.0005

    Args:
        cost: money for the refresh: CPU seconds or joules by their price.
        worth_of_one_percent: money that one percent of NDCG earns until the next refresh.

    Raises:
        InputError: a percent is worth nothing.
    """
    if worth_of_one_percent <= 0:
        raise InputError(f"`worth_of_one_percent` must be positive, got {worth_of_one_percent}")
    return cost / worth_of_one_percent / 100
