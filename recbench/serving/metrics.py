"""Counters of all workers in one piece of shared memory, told in Prometheus' text format.

Each worker writes a row of its own, so nothing needs a lock, and any worker can tell all of them.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from ctypes import Array, c_char
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from typing import Any

__all__ = ["Metrics", "Shared", "shared_metrics"]

ROUTES = ("recommend", "score", "infer", "other")
STATUSES = (200, 400, 401, 404, 405, 408, 413, 415, 500, 503)
OUTCOMES = ("queued", "dropped", "failed", "anonymous")
REASONS = ("store", "tower", "ranker")
BOUNDS_MS = (0.5, 1, 2, 3, 4, 6, 8, 12, 16, 25, 50, 100, 250, 1000)
GAUGES = (
    "recbench_connections",
    "recbench_in_flight",
    "recbench_ready",
    "recbench_real_time",
    "recbench_policy_decides",
    "recbench_policy_events",
)
DECIDED = (  # counted by a worker's policy
    "recbench_policy_slots_total",
    "recbench_policy_strayed_total",
    "recbench_floor_slots_total",
    "recbench_floor_given_up_total",
)
NAME_BYTES = 40  # of a release

Key = tuple[str, str]  # metric, labels
HELP = {
    "recbench_requests_total": ("counter", "Requests answered, by route and status."),
    "recbench_shed_total": ("counter", "Requests turned away because too many were waiting."),
    "recbench_fallback_total": (
        "counter",
        "Lists by popularity or as retrieved because a part failed.",
    ),
    "recbench_explored_total": ("counter", "Lists of which chance filled a slot."),
    "recbench_policy_decides": ("gauge", "Workers whose lists a policy's snapshot decides."),
    "recbench_policy_events": ("gauge", "Decisions that the oldest deciding snapshot has learnt."),
    "recbench_policy_slots_total": ("counter", "Slots of lists that were decided."),
    "recbench_policy_strayed_total": ("counter", "Of them, where chance showed another item."),
    "recbench_floor_slots_total": ("counter", "Of them, those that went to protected items."),
    "recbench_floor_given_up_total": ("counter", "Scores given up for the floor's sake."),
    "recbench_exposures_total": ("counter", "Exposure events by what became of them."),
    "recbench_swaps_total": ("counter", "Releases taken in while another one served."),
    "recbench_refused_total": ("counter", "Releases refused."),
    "recbench_load_seconds": ("gauge", "What the last load of a release took."),
    "recbench_connections": ("gauge", "Open connections."),
    "recbench_in_flight": ("gauge", "Requests that are being answered."),
    "recbench_ready": ("gauge", "Workers with a release to serve."),
    "recbench_real_time": ("gauge", "Workers that answer at real-time priority now."),
}
OF_WORKERS = {"recbench_load_seconds": max, "recbench_policy_events": min}  # others: their sum
LATENCY = "recbench_request_seconds"


def _keys() -> Iterator[Key]:
    for route in ROUTES:
        for status in STATUSES:
            yield "recbench_requests_total", f'route="{route}",status="{status}"'
    for reason in REASONS:
        yield "recbench_fallback_total", f'reason="{reason}"'
    for outcome in OUTCOMES:
        yield "recbench_exposures_total", f'outcome="{outcome}"'
    for name in HELP:
        if name.endswith(
            ("shed_total", "swaps_total", "refused_total", "explored_total", "seconds")
        ):
            yield name, ""
    for name in (*GAUGES, *DECIDED):
        yield name, ""


KEYS: list[Key] = list(_keys())
PLACES = {key: place for place, key in enumerate(KEYS)}
HISTOGRAM = len(BOUNDS_MS) + 2  # one more bucket, and the sum
WIDTH = len(KEYS) + HISTOGRAM * len(ROUTES)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the workers write and any of them reads."""

    values: Any  # (n_workers * WIDTH) float64
    releases: "Array[c_char]"  # NAME_BYTES each
    closed: Any  # (n_workers,) connections that have ended


def shared_metrics(context: SpawnContext, n_workers: int) -> Shared:
    """Zeros for so many workers."""
    return Shared(
        context.RawArray("d", n_workers * WIDTH),
        context.RawArray("c", n_workers * NAME_BYTES),
        context.RawArray("q", n_workers),
    )


class Metrics:
    """The metrics of one worker, beside those of the others."""

    def __init__(self, shared: Shared, worker: int) -> None:
        self._shared, self._worker = shared, worker
        whole = memoryview(shared.values).cast("B").cast("d")
        self._own = whole[worker * WIDTH : (worker + 1) * WIDTH]
        self._requests = {
            (route, status): PLACES["recbench_requests_total", f'route="{route}",status="{status}"']
            for route in ROUTES
            for status in STATUSES
        }

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request of a route in ROUTES was answered."""
        self._own[self._requests[route, status]] += 1
        start = len(KEYS) + ROUTES.index(route) * HISTOGRAM
        self._own[start + bisect_left(BOUNDS_MS, seconds * 1e3)] += 1
        self._own[start + HISTOGRAM - 1] += seconds

    def count(self, name: str, labels: str = "", by: int = 1) -> None:
        """Add to a counter."""
        self._own[PLACES[name, labels]] += by

    def exposures(self, outcome: str, by: int) -> None:
        """Add to the exposures of one outcome."""
        self._own[PLACES["recbench_exposures_total", f'outcome="{outcome}"']] += by

    def put(self, name: str, value: float) -> None:
        """Say what a gauge, or a counter kept elsewhere, is now."""
        self._own[PLACES[name, ""]] = value

    def serve(self, release: str) -> None:
        """Say which release this worker serves."""
        start = self._worker * NAME_BYTES
        name = release.encode().ljust(NAME_BYTES, b"\0")
        memoryview(self._shared.releases).cast("B")[start : start + NAME_BYTES] = name

    def gone(self) -> None:
        """Say that this worker has ended; what it counted stays."""
        for gauge in GAUGES:
            self.put(gauge, 0.0)
        self.serve("")

    def closed_one(self) -> None:
        """A connection has ended; whoever hands them out looks at it."""
        self._shared.closed[self._worker] += 1

    def inferences(self) -> tuple[int, int]:
        """The requests for inference that this worker answered well, and their nanoseconds."""
        start = len(KEYS) + ROUTES.index("infer") * HISTOGRAM
        n_answered = int(self._own[self._requests["infer", 200]])
        return n_answered, int(self._own[start + HISTOGRAM - 1] * 1e9)

    def text(self) -> str:
        """The metrics of all workers together, as Prometheus reads them."""
        return "\n".join([*_lines(self._shared.values), *self._release_lines(), ""])

    def _release_lines(self) -> Iterator[str]:
        yield "# HELP recbench_release_info The release that a worker serves."
        yield "# TYPE recbench_release_info gauge"
        raw = bytes(self._shared.releases)
        for worker in range(len(raw) // NAME_BYTES):
            release = raw[worker * NAME_BYTES : (worker + 1) * NAME_BYTES].rstrip(b"\0").decode()
            if release:
                yield f'recbench_release_info{{worker="{worker}",release="{release}"}} 1'


def _lines(values: Sequence[float]) -> Iterator[str]:
    held = list(values)
    rows = [held[at : at + WIDTH] for at in range(0, len(held), WIDTH)]
    sums = [sum(column) for column in zip(*rows, strict=True)]
    for name, told in OF_WORKERS.items():
        sums[PLACES[name, ""]] = told(row[PLACES[name, ""]] for row in rows)
    for name, (kind, text) in HELP.items():
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} {kind}"
        for (own, labels), value in zip(KEYS, sums, strict=False):
            if own == name and (value or not labels):
                yield f"{name}{{{labels}}} {value:.15g}" if labels else f"{name} {value:.15g}"
    yield f"# HELP {LATENCY} From the request's arrival in the application to its answer."
    yield f"# TYPE {LATENCY} histogram"
    for number, route in enumerate(ROUTES):
        yield from _histogram(route, sums[len(KEYS) + number * HISTOGRAM :][:HISTOGRAM])


def _histogram(route: str, cells: list[float]) -> Iterator[str]:
    total = 0.0
    for bound, cell in zip((*BOUNDS_MS, None), cells, strict=False):
        total += cell
        edge = "+Inf" if bound is None else f"{bound / 1e3:g}"
        yield f'{LATENCY}_bucket{{route="{route}",le="{edge}"}} {total:.15g}'
    yield f'{LATENCY}_sum{{route="{route}"}} {cells[-1]:.15g}'
    yield f'{LATENCY}_count{{route="{route}"}} {total:.15g}'
