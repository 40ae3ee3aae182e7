"""What saves energy or money beside the number of workers: proposals, and one that is asked for.

Nothing here changes a GPU by itself: ``power_capped`` does, and only if told that it may.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from recbench.cluster.scaling import ClusterState, DueWork, Hour, ScalingPolicy
from recbench.errors import InputError

__all__ = ["GpuSetting", "break_even_gain", "power_capped", "proposed_setting", "seconds_to_wait"]


class GpuSetting(NamedTuple):
    """One way to train on a GPU, measured."""

    power_cap_w: float
    batch_size: int
    examples_per_s: float
    drawn_w: float

    @property
    def joules_per_example(self) -> float:
        """What an example costs."""
        return self.drawn_w / self.examples_per_s


def proposed_setting(measured: Sequence[GpuSetting], *, slower: float = 0.1) -> GpuSetting:
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


@contextmanager
def power_capped(nvml: Any, index: int, watts: float, *, allowed: bool) -> Iterator[None]:
    """A GPU's power limit while the block runs; afterwards it is what it was.

    Args:
        nvml: the module ``pynvml``, begun; the change needs root.
        index: of the GPU.
        watts: within what the GPU allows.
        allowed: the user's own word.

    Raises:
        InputError: not allowed, or more or less than the GPU allows.
    """
    if not allowed:
        raise InputError(f"GPU {index} keeps its power limit: pass `allowed=True` to set {watts} W")
    device = nvml.nvmlDeviceGetHandleByIndex(index)
    low, high = nvml.nvmlDeviceGetPowerManagementLimitConstraints(device)
    if not low <= 1000 * watts <= high:
        raise InputError(
            f"`watts` of GPU {index} must lie in {low / 1000:g} to {high / 1000:g}, got {watts:g}"
        )
    before = nvml.nvmlDeviceGetPowerManagementLimit(device)
    nvml.nvmlDeviceSetPowerManagementLimit(device, int(1000 * watts))
    try:
        yield
    finally:
        nvml.nvmlDeviceSetPowerManagementLimit(device, before)


def seconds_to_wait(
    work: DueWork, hours: Sequence[Hour], *, policy: ScalingPolicy, startup_s: float
) -> float:
    """How long to put a rebuild off: until the first of the cheapest hours that suffice for it.

    Args:
        work: with ``may_wait``; other work waits for nothing.
        hours: now and forecast.
        policy: that will run it.
        startup_s: of a worker.
    """
    waited_s, left = 0.0, tuple(hours)
    while left:
        state = ClusterState(
            n_ready=0, n_starting=0, n_busy=0, idle_s=(), work=(), startup_s=startup_s, hours=left
        )
        if policy.runs_now(work._replace(due_s=work.due_s - waited_s), state):
            return waited_s
        waited_s += left[0].seconds
        left = left[1:]
    return waited_s


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
