"""Closed and open loops of requests, each best run in a process of its own."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context

from recbench.errors import InputError
from recbench.priority import ASKING, urgent
from recbench.serving.load.answers import Answers
from recbench.serving.load.arrivals import poisson_arrivals
from recbench.serving.load.exchange import exchange
from recbench.serving.load.target import Target

__all__ = ["closed_loop", "load_process", "open_loop"]

TIMEOUT_S = 30.0
MOST_REQUESTS = 1_000_000  # of one load: all replies are kept until it ends
MOST_SECONDS = 3_600.0
MOST_CONNECTIONS = 512  # `select` looks at no descriptor above 1023
Due = Callable[[int, float], float | None]


def closed_loop(
    target: Target,
    bodies: Sequence[bytes],
    *,
    clients: int = 8,
    seconds: float = 10.0,
    most: int = MOST_REQUESTS,
    real_time: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Answers:
    """Each client sends its next request as soon as the last one was answered.

    So a stalled server is asked less, and what would have come meanwhile is never timed: good for
    the highest throughput, too kind as a latency. ``open_loop`` is not.

    Args:
        target: where to.
        bodies: JSON requests, sent in turns.
        clients: how many.
        seconds: no request is sent after so long.
        most: no more requests than so many.
        real_time: whether this thread goes before all other work meanwhile, also that of a service
            on the same machine at real-time priority.
        timeout_s: of a request.

    Raises:
        InputError: a bound that is not positive or too large, no bodies, or no leave to go first.
    """

    def due(number: int, now_s: float) -> float | None:
        return now_s if number < most and now_s < seconds else None

    how = {"seconds": seconds, "timeout_s": timeout_s}
    return _load(target, bodies, due, connections=clients, real_time=real_time, **how)


def open_loop(
    target: Target,
    bodies: Sequence[bytes],
    *,
    per_s: float,
    seconds: float = 10.0,
    connections: int = 64,
    seed: int = 0,
    real_time: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Answers:
    """Requests are due by a Poisson process, and timed from then, whether or not they can be sent.

    Args:
        target: where to.
        bodies: JSON requests, sent in turns.
        per_s: requests a second, on average.
        seconds: how long requests are due.
        connections: how many requests may be under way; beyond, they wait, and that is timed.
        seed: of the process.
        real_time: whether this thread goes before all other work meanwhile, so that a service on
            the same machine is not charged for what keeps the client waiting.
        timeout_s: of a request; so much after ``seconds`` what still waits is given up as unsent.

    Raises:
        InputError: a bound that is not positive or too large, no bodies, or no leave to go first.
    """
    if per_s * seconds > MOST_REQUESTS:
        raise InputError(f"One load is at most {MOST_REQUESTS} requests, got {per_s * seconds:.0f}")
    arrivals = poisson_arrivals(per_s, seconds=seconds, seed=seed).tolist()

    def due(number: int, _: float) -> float | None:
        return arrivals[number] if number < len(arrivals) else None

    how = {"seconds": seconds, "timeout_s": timeout_s}
    return _load(target, bodies, due, connections=connections, real_time=real_time, **how)


def load_process() -> ProcessPoolExecutor:
    """An executor with one fresh process, to which ``closed_loop`` and ``open_loop`` are submitted.

    Whoever serves, publishes or trains then does not share an interpreter with the clock.
    """
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _load(
    target: Target,
    bodies: Sequence[bytes],
    due: Due,
    *,
    connections: int,
    seconds: float,
    timeout_s: float,
    real_time: bool,
) -> Answers:
    if not bodies:
        raise InputError("`bodies` is empty: there is nothing to ask")
    if not 1 <= connections <= MOST_CONNECTIONS:
        raise InputError(f"Connections must be 1 to {MOST_CONNECTIONS}, got {connections}")
    if not (0 < seconds <= MOST_SECONDS and timeout_s > 0):
        raise InputError(
            f"A load lasts more than 0 and at most {MOST_SECONDS:.0f} s with a positive timeout, "
            f"got {seconds} and {timeout_s}"
        )
    requests = [target.request(body) for body in bodies]
    cpu_s = time.process_time()
    with urgent(ASKING) if real_time else nullcontext():  # what comes after has time
        exchanged, began_at = exchange(
            target,
            requests,
            due,
            connections=connections,
            timeout_s=timeout_s,
            last_s=seconds + timeout_s,
        )
    cpu_s = time.process_time() - cpu_s
    return Answers.of(exchanged, n_bodies=len(bodies), began_at=began_at, tool_cpu_s=cpu_s)
