"""What a run has used: its own processes, and its ranks and tasks on other workers."""

import os
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbench.cluster.charges import CHARGES_VARIABLE, Kind, charges_in
from recbench.cluster.energy import EnergyMeter, open_meter
from recbench.cluster.tariff import TARIFF_VARIABLE, TariffFile

__all__ = ["RunCost", "charges_folder", "joules_so_far", "told_energy"]

OWN = "own processes"


def charges_folder(folder: Path, *, n_attempts: int) -> Path:
    """Where workers tell what they use for a run, which has had so many attempts before."""
    return folder / "energy" / str(n_attempts)


class RunCost:
    """Begins to count when it is made; money by the tariff that ``RECBENCH_TARIFF`` names."""

    def __init__(self, charges: Path, *, meter: EnergyMeter | None = None) -> None:
        """``charges``: where workers tell what they use; ``meter``: None: this machine's best."""
        self._charges, self._meter = charges, meter or open_meter()
        self._begun, self._begun_cpu_s = datetime.now(UTC), _cpu_seconds()
        tariff = os.environ.get(TARIFF_VARIABLE)
        self._tariff = TariffFile(Path(tariff)) if tariff else None

    def facts(self) -> dict[str, Any]:
        """``joules, cpu_s, worker_s, source``; ``parts`` and ``cost`` where there are any.

        ``worker_s`` is the time of the run and that for which it kept workers; ``cost`` is money
        for it by the tariff. ``parts`` holds the same of its own processes, tasks and ranks.
        """
        took_s = (datetime.now(UTC) - self._begun).total_seconds()
        own = {
            "joules": round(self._meter(), 3),
            "cpu_s": round(_cpu_seconds() - self._begun_cpu_s, 3),
            "worker_s": round(took_s, 3),
            "source": self._meter.source,
        }
        told = _told(self._charges, self._meter)
        parts = {OWN: own} | {
            f"{kind} on {_workers(part['workers'])}": part for kind, part in sorted(told.items())
        }
        sums = {
            name: round(sum(part[name] for part in parts.values()), 3)
            for name in ("joules", "cpu_s", "worker_s")
        }
        facts = sums | {"source": "; ".join(dict.fromkeys(p["source"] for p in parts.values()))}
        if told:
            facts["parts"] = parts
        if self._tariff:
            facts["cost"] = _money(self._tariff, self._begun, took_s, sums["worker_s"])
        return facts


def joules_so_far() -> Callable[[], float]:
    """Within a run's kernel: counts this process from now on, and what workers use for the run."""
    meter, told = open_meter(), os.environ.get(CHARGES_VARIABLE)

    def on_workers() -> float:
        parts = _told(Path(told), meter).values() if told else ()
        return float(sum(part["joules"] for part in parts))

    before = on_workers()
    return lambda: meter() + on_workers() - before


def told_energy(energy: Mapping[str, Any]) -> str:
    """The joules of a run in words: how they are known, and whose they are."""
    said = f"{energy['joules']:.0f} J ({energy['source']})"
    if parts := energy.get("parts"):
        said += ": " + ", ".join(f"{part['joules']:.0f} J {whose}" for whose, part in parts.items())
    return said


def _workers(number: int) -> str:
    return f"{number} worker{'' if number == 1 else 's'}"


def _told(charges: Path, meter: EnergyMeter) -> Mapping[Kind, dict[str, Any]]:
    """A counter of this machine has seen workers of this machine already."""
    seen = {socket.gethostname()} if meter.counts_machine else set()
    return charges_in(charges, seen=seen)


def _money(tariff: TariffFile, begun: datetime, took_s: float, worker_s: float) -> float | None:
    """By the mean price of the time it took; None where the tariff does not tell."""
    price, left_s = 0.0, took_s
    for hour in tariff.hours(begun):
        held_s = min(left_s, hour.seconds)
        price, left_s = price + held_s * hour.price, left_s - held_s
    if left_s > 0 or not took_s:
        return None
    return round(price / took_s * worker_s / 3600, 6)


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
