"""What tasks and ranks on a cluster's workers use up, told to the run that caused it.

A run names a folder; each worker keeps one small file in it, written anew as it goes, so that what
a lost worker had used is known. Workers and run share that disk in any case.
"""

import json
from collections.abc import Iterable, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["CHARGES_VARIABLE", "MARK", "Charge", "Kind", "charges_in"]

CHARGES_VARIABLE = "RECBENCH_CHARGES"  # the folder, told to a run's kernel
MARK = "recbench_charges"  # the same, as the annotation of what the kernel sends to workers

Kind = Literal["tasks", "ranks"]


@dataclass(slots=True, kw_only=True)
class Charge:
    """What one worker process has used for one run by now, of one kind."""

    host: str
    process: int
    kind: Kind
    source: str  # how the joules are known
    joules: float = 0.0
    cpu_s: float = 0.0
    worker_s: float = 0.0  # that it was occupied

    def write(self, folder: Path) -> None:
        """Whole or not at all; nothing where this machine does not see the run."""
        if not folder.parent.parent.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.host}-{self.process}-{self.kind}.json"
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(path)  # without waiting for the disk: the event loop would wait, too


def charges_in(folder: Path, *, seen: Set[str] = frozenset()) -> dict[Kind, dict[str, Any]]:
    """The sum of each kind: ``joules, cpu_s, worker_s, workers, source``; empty if none.

    Args:
        folder: of the run's attempt.
        seen: hosts whose joules somebody counts in any case, whoever uses them.
    """
    held = [Charge(**json.loads(path.read_text("utf-8"))) for path in folder.glob("*.json")]
    sums: dict[Kind, dict[str, Any]] = {}
    for kind in sorted({charge.kind for charge in held}):
        of_kind = [charge for charge in held if charge.kind == kind]
        counted = [charge for charge in of_kind if charge.host not in seen]
        sums[kind] = {
            "joules": round(sum(charge.joules for charge in counted), 3),
            "cpu_s": round(sum(charge.cpu_s for charge in of_kind), 3),
            "worker_s": round(sum(charge.worker_s for charge in of_kind), 3),
            "workers": len(of_kind),
            "source": _sources(charge.source for charge in counted),
        }
    return sums


def _sources(sources: Iterable[str]) -> str:
    return "; ".join(sorted(set(sources))) or "within what the run's machine counted"
