"""Joules: read from the processor's or the GPU's own counters where they are, else a stated model.

The model counts CPU seconds of this process and of its children that have ended, at the watts of
one busy thread: 3.5 W, the mean of AWS's machines at full load in Cloud Carbon Footprint's
methodology (idle: 0.74 W; of its `aws` constants, read in 2026). It leaves out memory, disks, and
what a data centre draws beside its machines. Counters see everything that runs on the machine.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from recbench.errors import InputError

__all__ = [
    "BUSY_THREAD_W",
    "IDLE_THREAD_W",
    "EnergyMeter",
    "WorkerJoules",
    "installed_nvml",
    "joules_per_hundredth",
    "open_meter",
]

BUSY_THREAD_W, IDLE_THREAD_W = 3.5, 0.74
RAPL = "RAPL"
POWERCAP = Path("/sys/class/powercap")
WINDOW_S = 0.5  # of busy time over which a machine's watts are taken; its clock ticks in hundredths


@dataclass(slots=True)
class EnergyMeter:
    """Call it for the joules since it was opened; ``source`` says how they are known."""

    readers: Mapping[str, Callable[[], float]]  # by what they read; each only ever grows
    begun: Mapping[str, float]

    @classmethod
    def of(cls, readers: Mapping[str, Callable[[], float]]) -> Self:
        """Begins to count now."""
        return cls(readers, {name: read() for name, read in readers.items()})

    def __call__(self) -> float:
        """All readers together."""
        return sum(read() - self.begun[name] for name, read in self.readers.items())

    @property
    def source(self) -> str:
        """What is read, for a report."""
        return " + ".join(self.readers)

    @property
    def counts_machine(self) -> bool:
        """Whether it sees whatever runs on this machine, not only the process that asks."""
        return RAPL in self.readers


def open_meter(
    *,
    powercap: Path = POWERCAP,
    nvml: Any = None,
    cpu_seconds: Callable[[], float] | None = None,
) -> EnergyMeter:
    """The best meter of this machine: RAPL for processors, NVML for GPUs, else the model.

    Args:
        powercap: where Linux shows RAPL's zones; readable by root only on most machines.
        nvml: the module ``pynvml``, begun; None: the one that is installed, if a GPU answers it.
        cpu_seconds: what the model counts; None: of this process and its ended children.
    """
    readers: dict[str, Callable[[], float]] = {}
    zones = _rapl_zones(powercap)
    if zones:
        readers[RAPL] = _Rapl(zones).joules
    else:
        count = cpu_seconds or _cpu_seconds
        readers[f"model, {BUSY_THREAD_W:g} W a busy thread"] = lambda: BUSY_THREAD_W * count()
    nvml = installed_nvml() if nvml is None else nvml
    if nvml is not None:
        readers["NVML"] = lambda: _nvml_joules(nvml)
    return EnergyMeter.of(readers)


def joules_per_hundredth(joules: float, ndcg_gain: float | None) -> float | None:
    """Joules for each +0.01 NDCG; None where nothing was gained, or nobody could tell.

    >>> joules_per_hundredth(60.0, 0.02)
    30.0
    """
    if ndcg_gain is None or ndcg_gain <= 0:
        return None
    return joules / (100 * ndcg_gain)


@dataclass(slots=True)
class WorkerJoules:
    """What one process among others on a machine draws, so that all of them can be added up.

    Of what RAPL counts it has its share of the machine's busy CPU seconds; without RAPL the model
    holds. Of GPUs it has the one that Dask gave it, where that is named by its number.
    """

    source: str
    counter: Callable[[], float] | None  # joules of the machine's processors
    busy_s: Callable[[], float]  # CPU seconds of the whole machine
    gpu: Callable[[], float]  # joules of this worker's GPU
    before: tuple[float, float] = (0.0, 0.0)
    watts: float = BUSY_THREAD_W  # of a busy CPU, as last seen

    @classmethod
    def here(cls, *, powercap: Path = POWERCAP, nvml: Any = None) -> Self:
        """By what this machine has; arguments as for ``open_meter``."""
        zones = _rapl_zones(powercap)
        counter = _Rapl(zones).joules if zones else None
        model = f"model, {BUSY_THREAD_W:g} W a busy thread"
        source = "RAPL, by share of CPU time" if zones else model
        number = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0]
        nvml = installed_nvml() if nvml is None and number.isdigit() else nvml
        if nvml is None or not number.isdigit():
            made = cls(source, counter, _machine_busy_s, lambda: 0.0)
        else:
            index = int(number)
            made = cls(
                f"{source} + NVML",
                counter,
                _machine_busy_s,
                lambda: _nvml_joules(nvml, [index]),
            )
        made.before = (counter() if counter else 0.0, made.busy_s())
        return made

    def cpu(self, cpu_s: float) -> float:
        """Joules of CPU seconds that were used since the last call or so."""
        if self.counter is None:
            return BUSY_THREAD_W * cpu_s
        joules, busy_s = self.counter(), self.busy_s()
        if busy_s - self.before[1] >= WINDOW_S:
            self.watts = (joules - self.before[0]) / (busy_s - self.before[1])
            self.before = (joules, busy_s)
        return self.watts * cpu_s


class _Rapl:
    """Counts on where a counter of microjoules begins again at zero."""

    def __init__(self, zones: list[Path]) -> None:
        self.ranges_uj = {zone: _number(zone / "max_energy_range_uj") for zone in zones}
        self.last_uj = {zone: _number(zone / "energy_uj") for zone in zones}
        self.total_uj = 0

    def joules(self) -> float:
        """Since it was made; must be called more often than a counter goes round (minutes)."""
        for zone, range_uj in self.ranges_uj.items():
            now_uj = _number(zone / "energy_uj")
            self.total_uj += (now_uj - self.last_uj[zone]) % (range_uj + 1)
            self.last_uj[zone] = now_uj
        return self.total_uj / 1e6


def _rapl_zones(powercap: Path) -> list[Path]:
    """Whole packages and the memory beside them; cores lie within packages, psys around them.

    Empty where there are none or they may not be read.
    """
    found = []
    for name in sorted(powercap.glob("intel-rapl:*/name")):
        what = name.read_text(encoding="utf-8").strip()
        counts = what.startswith("package") or what == "dram"
        if counts and os.access(name.parent / "energy_uj", os.R_OK):
            found.append(name.parent)
    return found


def _number(path: Path) -> int:
    return int(path.read_text(encoding="utf-8"))


def _nvml_joules(nvml: Any, indexes: Sequence[int] | None = None) -> float:
    """Of these GPUs, or all, since their driver was loaded.

    Raises:
        InputError: a GPU that counts no energy: Volta and later do.
    """
    millijoules = 0
    for index in range(nvml.nvmlDeviceGetCount()) if indexes is None else indexes:
        device = nvml.nvmlDeviceGetHandleByIndex(index)
        try:
            millijoules += nvml.nvmlDeviceGetTotalEnergyConsumption(device)
        except nvml.NVMLError as error:
            raise InputError(f"GPU {index} does not count its energy: {error}") from error
    return millijoules / 1e3


def installed_nvml() -> Any:
    """NVML where it is installed and has a GPU; None on a machine without."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # the package is there, a driver is not
        return None
    return pynvml if pynvml.nvmlDeviceGetCount() else None


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _machine_busy_s() -> float:
    import psutil

    times = psutil.cpu_times()
    busy = ("user", "nice", "system", "irq", "softirq")
    return float(sum(getattr(times, name, 0.0) for name in busy))
