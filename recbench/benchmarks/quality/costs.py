"""What a model cost: CPU, memory, energy, and the time of one answer."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from recbench.cluster.energy import open_meter
from recbench.evaluation.recommender import Recommender
from recbench.index.exact import top_k
from recbench.tables.queries import Queries

__all__ = ["Spent", "single_query_ms"]

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
QUERIES = 200


class Spent:
    """Counts while its ``with`` block runs; CPU and energy of this process and ended children."""

    def __init__(self) -> None:
        self.cpu_s = self.joules = 0.0
        self.peak_bytes: int | None = None  # beyond what was held before; None off Linux
        self._end: Callable[[], None]

    def __enter__(self) -> Self:
        meter, began = open_meter(), _cpu_s()
        held = _reset_peak()

        def end() -> None:
            self.cpu_s, self.joules = _cpu_s() - began, meter()
            if held is not None:
                self.peak_bytes = max(0, _status_bytes("VmHWM") - held)

        self._end = end
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()


def single_query_ms(
    model: Recommender, queries: Queries, *, k: int, n: int = QUERIES
) -> dict[str, float]:
    """``p50_ms`` and ``p99_ms`` of one list for one query, in this process, over ``n`` queries."""
    taken = []
    for number in range(n + 5):  # the first ones warm caches up
        query = queries.take(slice(number % len(queries), number % len(queries) + 1))
        start = time.perf_counter()
        top_k(model.score_items(query), k=k)
        taken.append(1e3 * (time.perf_counter() - start))
    p50, p99 = np.quantile(taken[5:], [0.5, 0.99])
    return {"p50_ms": float(p50), "p99_ms": float(p99)}


def _cpu_s() -> float:
    import os

    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _reset_peak() -> int | None:
    """Begin the peak of resident memory anew; what is held now."""
    if not CLEAR_REFS.exists():
        return None
    CLEAR_REFS.write_text("5")
    return _status_bytes("VmRSS")


def _status_bytes(field: str) -> int:
    line = next(row for row in STATUS.read_text().splitlines() if row.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024
