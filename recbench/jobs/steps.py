"""Steps that leave their results in a folder: a step that is there is not done again."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbench.files import write_json

__all__ = ["Steps"]


@dataclass(frozen=True, slots=True)
class Steps:
    """One JSON file a step, which appears whole, with what the step cost.

    ``joules`` gives what was used up so far; without it energy is not written down.
    """

    folder: Path
    joules: Callable[[], float] | None = None

    def has(self, step: str) -> bool:
        """Whether the step is done."""
        return (self.folder / f"{step}.json").exists()

    def read(self, step: str) -> Any:
        """What the step left."""
        return json.loads((self.folder / f"{step}.json").read_text(encoding="utf-8"))

    def write(self, step: str, payload: dict[str, Any]) -> None:
        """The step is done, and leaves this."""
        write_json(self.folder / f"{step}.json", payload)

    def once(self, step: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The step's result, made only if it is not there; with when it began, and its CPU."""
        if not self.has(step):
            begun = datetime.now(UTC).isoformat(timespec="seconds")
            with self.timed(step) as facts:
                facts |= {"begun": begun, "result": make()}
        held: dict[str, Any] = self.read(step)["result"]
        return held

    @contextmanager
    def timed(self, step: str) -> Iterator[dict[str, Any]]:
        """Collects the step's result, and writes it with its cost once it is complete."""
        facts: dict[str, Any] = {}
        begun, cpu = time.perf_counter(), time.process_time()
        before = self.joules() if self.joules else 0.0
        yield facts
        spent = {"seconds": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}
        if self.joules:
            spent["joules"] = self.joules() - before
        self.write(step, facts | spent)
