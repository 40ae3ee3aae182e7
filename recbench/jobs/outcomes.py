"""How refreshes ended: what each leaves behind, and what all of them say together."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from recbench.cluster.energy import joules_per_hundredth
from recbench.refresh.forecast import Done, calibration
from recbench.refresh.gate import Verdict

__all__ = ["OUTCOME", "REFRESHES", "Outcome", "past_refreshes", "summary"]

REFRESHES = "refreshes"  # folder of the workspace
OUTCOME = "outcome"  # step of a refresh that is written last


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a refresh ended."""

    decision: str  # publish, hold, full rebuild, skip
    reasons: tuple[str, ...]
    release: str | None  # what was sealed
    current: str  # what is served now
    done: Done

    @classmethod
    def of(cls, verdict: Verdict, *, release: str | None, current: str | None, done: Done) -> Self:
        """What the gate said, and what came of it."""
        return cls(
            decision=verdict.decision,
            reasons=tuple(str(reason) for reason in verdict.reasons),
            release=release,
            current=str(current),
            done=done,
        )

    def to_json(self) -> dict[str, Any]:
        """For the refresh's folder."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        done, reasons = Done.from_json(held["done"]), tuple(held["reasons"])
        return cls(**(held | {"done": done, "reasons": reasons}))


def summary(outcome: Outcome, past: Sequence[Outcome]) -> dict[str, Any]:
    """What a run is remembered by."""
    done = outcome.done
    held = {
        f"forecast/{name}": value for name, value in calibration([o.done for o in past]).items()
    }
    return {
        "decision": outcome.decision,
        "release": outcome.release,
        "current": outcome.current,
        "n_events": done.n_events,
        "cpu_s": done.cpu_s,
        **({} if done.gain is None else {"gain": done.gain}),
        **_energy(done),
        **held,
    }


def _energy(done: Done) -> dict[str, float]:
    """Joules, and joules for each +0.01 NDCG where something was gained."""
    if done.joules is None:
        return {}
    each = joules_per_hundredth(done.joules, done.ndcg_gain)
    return {"joules": done.joules} | ({} if each is None else {"joules_per_hundredth": each})


def past_refreshes(workspace: Path, *, data: str) -> list[Outcome]:
    """Every finished refresh of a log that the workspace remembers, the oldest first."""
    found = []
    for path in (workspace / REFRESHES).glob(f"*/{OUTCOME}.json"):
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["data"] == data:
            found.append((held["finished"], Outcome.from_json(held["outcome"])))
    return [outcome for _, outcome in sorted(found, key=lambda each: each[0])]
