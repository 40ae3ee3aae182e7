"""What GPUs may draw: read by NVML, and changed only if the caller says that it may be."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from recbench.errors import InputError

__all__ = ["GpuPower", "cap_power", "gpu_powers", "power_capped"]


class GpuPower(NamedTuple):
    """Watts of one GPU; None where it does not tell."""

    gpu: int
    name: str
    draws_w: float | None  # now
    limit_w: float | None
    default_w: float | None  # the limit that it comes with
    lowest_w: float | None  # that the limit may be
    highest_w: float | None


def gpu_powers(nvml: Any) -> list[GpuPower]:
    """What every GPU draws and may draw; changes nothing.

    Args:
        nvml: the module ``pynvml``, begun.
    """
    found = []
    for index in range(nvml.nvmlDeviceGetCount()):
        device = nvml.nvmlDeviceGetHandleByIndex(index)

        def told(ask: Callable[[Any], Any], device: Any = device) -> Any:
            try:
                return ask(device)
            except nvml.NVMLError:  # this one does not know
                return None

        low, high = told(nvml.nvmlDeviceGetPowerManagementLimitConstraints) or (None, None)
        milliwatts = (
            told(nvml.nvmlDeviceGetPowerUsage),
            told(nvml.nvmlDeviceGetPowerManagementLimit),
            told(nvml.nvmlDeviceGetPowerManagementDefaultLimit),
            low,
            high,
        )
        watts = (None if each is None else each / 1000 for each in milliwatts)
        found.append(GpuPower(index, str(told(nvml.nvmlDeviceGetName)), *watts))
    return found


def cap_power(nvml: Any, index: int, watts: float, *, allowed: bool) -> float:
    """Set a GPU's power limit, until somebody sets another or its driver is loaded anew.

    Args:
        nvml: the module ``pynvml``, begun; the change needs root.
        index: of the GPU.
        watts: within what the GPU allows.
        allowed: the user's own word.

    Returns:
        The limit before, in watts.

    Raises:
        InputError: not allowed, no such GPU, no root, or more or less than the GPU allows.
    """
    n_gpus = nvml.nvmlDeviceGetCount()
    if not 0 <= index < n_gpus:
        raise InputError(f"There is no GPU {index}: this machine has {n_gpus}, from 0")
    if not allowed:
        raise InputError(f"GPU {index} keeps its power limit: it is not allowed to set {watts:g} W")
    device = nvml.nvmlDeviceGetHandleByIndex(index)
    try:
        low, high = nvml.nvmlDeviceGetPowerManagementLimitConstraints(device)
        if not low <= 1000 * watts <= high:
            raise InputError(
                f"`watts` of GPU {index} must lie in {low / 1000:g} to {high / 1000:g}, got "
                f"{watts:g}"
            )
        before: int = nvml.nvmlDeviceGetPowerManagementLimit(device)
        nvml.nvmlDeviceSetPowerManagementLimit(device, round(1000 * watts))
    except nvml.NVMLError as error:
        raise InputError(
            f"The power limit of GPU {index} cannot be set: {error}. It needs root, and a GPU that "
            "lets it be set"
        ) from error
    return before / 1000


@contextmanager
def power_capped(nvml: Any, index: int, watts: float, *, allowed: bool) -> Iterator[None]:
    """A GPU's power limit while the block runs; afterwards it is what it was.

    Arguments and errors are those of ``cap_power``.
    """
    before = cap_power(nvml, index, watts, allowed=allowed)
    try:
        yield
    finally:
        cap_power(nvml, index, before, allowed=allowed)
