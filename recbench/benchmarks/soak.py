"""The service at half of its maximum rate for long: no error, and memory that stays."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from recbench.benchmarks.result import BenchResult
from recbench.benchmarks.running_service import RunningService
from recbench.benchmarks.service_load import Questions, by_clients, saturation_per_s
from recbench.benchmarks.trained_release import enlarged, trained_release
from recbench.errors import InputError, JobError
from recbench.refresh import Registry
from recbench.serving.load import load_process, open_loop

__all__ = ["growth_frac", "run"]

WARM_S, PIECE_S = 5.0, 10.0  # seconds; memory is looked at after each piece
CLIENTS = 8
MOST_GROWTH = 0.05  # of the service's memory, from the second quarter to the last


def run(
    *,
    events: int = 250_000,
    items: int = 100_000,
    seconds: float = 1_800.0,
    load_frac: float = 0.5,
    seed: int = 0,
) -> BenchResult:
    """Offer half of the rate that eight closed-loop clients reach, and watch errors and memory.

    The service has two workers. Memory is that of those who answer, without libraries.
    ``memory_growth_frac`` compares the medians of the second quarter and of the last one: the first
    one fills what is filled once.

    Args:
        events: of the log that the two-tower is trained on.
        items: of the catalogue.
        seconds: how long.
        load_frac: of the rate that the clients reach, what is offered.
        seed: of everything.

    Raises:
        InputError: a number that is not positive.
        JobError: a request failed or was answered by a fallback, or memory grows by a twentieth.
    """
    if min(events, items, seconds, load_frac) <= 0:
        raise InputError(
            "`events`, `items`, `seconds` and `load_frac` must be positive, "
            f"got {events, items, seconds, load_frac}"
        )
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Path(folder) / "registry")
        small = trained_release(registry, events=events, seed=seed)
        release = enlarged(small, registry=registry, n_items=items, seed=seed)
        questions = Questions(registry.publish(release.manifest.release))
        with RunningService.start(Path(folder)) as service, load_process() as pool:
            pieces = _pieces(
                service, questions, pool, seconds=seconds, load_frac=load_frac, seed=seed
            )
    memory = [piece["memory_bytes"] for piece in pieces]
    figures = {
        "requests": sum(piece["requests"] for piece in pieces),
        "errors": sum(piece["errors"] for piece in pieces),
        "fallbacks": sum(piece["fallbacks"] for piece in pieces),
        "offered_rps": float(np.median([piece["offered_per_s"] for piece in pieces])),
        "worst_p99_ms": max(piece["p99_ms"] for piece in pieces),
        "memory_bytes": memory[-1],
        "memory_growth_frac": growth_frac(memory),
    }
    if figures["errors"] or figures["fallbacks"] or figures["memory_growth_frac"] > MOST_GROWTH:
        raise JobError(
            f"Of {figures['requests']} requests {figures['errors']} failed and "
            f"{figures['fallbacks']} were answered by a fallback; memory grew by "
            f"{figures['memory_growth_frac']:.1%}, at most {MOST_GROWTH:.0%} may be: {memory}"
        )
    return BenchResult("soak", figures, pieces)


def growth_frac(memory_bytes: Sequence[float]) -> float:
    """How much the median of the last quarter is above that of the second one, as a share.

    >>> growth_frac([50, 50, 100, 100, 100, 100, 150, 150])
    0.5
    """
    quarter = max(1, len(memory_bytes) // 4)
    early, late = memory_bytes[quarter : 2 * quarter], memory_bytes[-quarter:]
    early = early or memory_bytes[:1]
    return float(np.median(late) / np.median(early) - 1)


def _pieces(
    service: RunningService,
    questions: Questions,
    pool: Executor,
    *,
    seconds: float,
    load_frac: float,
    seed: int,
) -> list[dict[str, float]]:
    """The load in pieces, so that the tool need not remember all of it."""
    clients = [CLIENTS]
    by_clients(pool, service.target, questions.bodies, clients=clients, seconds=WARM_S)
    table, _ = by_clients(pool, service.target, questions.bodies, clients=clients, seconds=WARM_S)
    per_s = load_frac * saturation_per_s(table)
    pieces = []
    n_pieces = max(4, round(seconds / PIECE_S))
    for number in range(n_pieces):
        answers = pool.submit(
            open_loop,
            service.target,
            questions.bodies,
            per_s=per_s,
            seconds=seconds / n_pieces,
            seed=seed + number,
        ).result()
        pieces.append(answers.summary() | {"memory_bytes": service.own_memory_bytes()})
    return pieces
