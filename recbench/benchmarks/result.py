"""What a benchmark measured: medians over runs, the runs, and the machine they ran on."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from recbench.errors import InputError

__all__ = ["BenchResult", "machine", "medians"]

PACKAGES = ("polars", "torch", "duckdb", "numpy")


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Figures by key; ``vs_...`` is a ratio to a reference of the same run, above 1: faster."""

    bench: str
    figures: dict[str, float]  # each a median over runs
    runs: list[dict[str, float]]  # what each run measured; seconds end in _s

    def to_json_dict(self) -> dict[str, Any]:
        """``bench, machine, figures, runs``, the machine being this one."""
        return {
            "bench": self.bench,
            "machine": machine(),
            "figures": self.figures,
            "runs": self.runs,
        }


def medians(runs: Sequence[Mapping[str, float]], *, keys: Sequence[str]) -> dict[str, float]:
    """The median of each key over the runs that measured it.

    Raises:
        InputError: no run measured a key.
    """
    values = {key: [run[key] for run in runs if key in run] for key in keys}
    absent = [key for key, measured in values.items() if not measured]
    if absent:
        raise InputError(f"None of {len(runs)} runs measured {absent}")
    return {key: statistics.median(measured) for key, measured in values.items()}


def machine() -> dict[str, Any]:
    """Processor, usable cores, memory, Python and the packages that set the speed."""
    return {
        "cpu": _cpu_model(Path("/proc/cpuinfo")),
        "cores": _usable_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _cpu_model(cpuinfo: Path) -> str:
    """The model's name; the architecture where the system does not tell."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: what this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
