"""What one event, user, item or request costs, measured by our own benchmarks."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbench.errors import InputError

__all__ = ["UnitCost", "UnitCosts"]

DEFAULTS = Path(__file__).with_name("unit_costs.json")
Figures = Mapping[str, float]

# cost -> bench, and how it follows from the bench's figures and the number of cores
FROM_BENCH: Mapping[str, tuple[str, Callable[[Figures, int], float]]] = {
    "ingest_events_per_thread_s": ("ingest", lambda f, cores: f["events_per_s"] / cores),
    "features_events_per_thread_s": ("features", lambda f, cores: f["events_per_s"] / cores),
    "online_updates_per_thread_s": ("features", lambda f, _: f["online_updates_per_s"]),
    "online_bytes_per_user": ("features", lambda f, _: f["memory_bytes_per_million_users"] / 1e6),
    "refresh_cpu_s": ("refresh", lambda f, _: f["job_cpu_s"]),
    "train_positions_per_thread_s": ("train", lambda f, _: f["positions_per_cpu_s"]),
    "request_cpu_s": ("serve", lambda f, _: f["cpu_ms_per_request"] / 1e3),
}


@dataclass(frozen=True, slots=True)
class UnitCost:
    """A measured number, and where it comes from."""

    value: float
    unit: str
    command: str
    date: str
    machine: str


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """Unit costs by name; an item gives the number alone."""

    by_name: Mapping[str, UnitCost]

    @classmethod
    def shipped(cls) -> "UnitCosts":
        """What was measured on the machine that the project was built on."""
        held = json.loads(DEFAULTS.read_text(encoding="utf-8"))
        return cls({name: UnitCost(**cost) for name, cost in held.items()})

    def __getitem__(self, name: str) -> float:
        """The number."""
        return self.by_name[name].value

    def __iter__(self) -> Iterator[tuple[str, UnitCost]]:
        """Names with their costs."""
        return iter(self.by_name.items())

    def with_benches(self, folder: Path, *, date: str) -> "UnitCosts":
        """These, but for what the files of ``recbench bench NAME --json`` in a folder say.

        Args:
            folder: holds JSON files; others than those of benches are not looked at.
            date: when they were measured.

        Raises:
            InputError: there is no file of a bench that a unit cost follows from.
        """
        results = {held["bench"]: held for held in _benches(folder)}
        replaced: dict[str, UnitCost] = {}
        for name, (bench, of) in FROM_BENCH.items():
            if bench not in results:
                continue
            machine, figures = results[bench]["machine"], results[bench]["figures"]
            try:
                value = of(figures, machine["cores"])
            except KeyError:  # a figure that needs an environment which was not there
                continue
            where = f"{machine['cores']} cores of {machine['cpu']}"
            unit = self.by_name[name].unit
            replaced[name] = UnitCost(value, unit, f"recbench bench {bench}", date, where)
        if not replaced:
            wanted = sorted({bench for bench, _ in FROM_BENCH.values()})
            raise InputError(
                f"`{folder}` holds no figures of {', '.join(wanted)}: write some by "
                f"`recbench bench {wanted[0]} --json {folder}/{wanted[0]}.json`"
            )
        return UnitCosts({**self.by_name, **replaced})


def _benches(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        held = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(held, dict) and {"bench", "figures", "machine"} <= held.keys():
            yield held
