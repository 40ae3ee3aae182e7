"""The HTTP service from outside, beside its bare runtime and index called in process."""

import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recbench.benchmarks.bare_stack import bare_service
from recbench.benchmarks.full_service import TOPIC, full_service
from recbench.benchmarks.result import BenchResult, medians
from recbench.benchmarks.running_service import RunningService
from recbench.benchmarks.service_load import (
    Questions,
    busy_frac,
    by_clients,
    saturation_per_s,
)
from recbench.benchmarks.trained_release import enlarged, trained_release
from recbench.errors import InputError, JobError
from recbench.events.broker import Broker
from recbench.refresh import Registry, Release
from recbench.serving.load import Target, load_process, open_loop
from recbench.serving.load.answers import latency_percentiles
from recbench.serving.load.canned import canned_server
from recbench.serving.served_release import ServedRelease

__all__ = ["floor_ms", "run", "tool_ms"]

CLIENTS = 8
LEAST_CALLS = 2_000  # of the floor
AT_ONCE = 10_000
BARE_LOOPS = 2  # the better one counts: uvicorn's workers share connections out by chance
WARM_S, TOOL_S, DELIVERY_S = 2.0, 2.0, 120.0
KEYS = (
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "p999_ms",
    "requests_per_s",
    "saturation_rps",
    "open_p50_ms",
    "open_p99_ms",
    "open_p999_ms",
    "offered_rps",
    "errors",
    "fallbacks",
    "floor_p50_ms",
    "floor_p99_ms",
    "vs_floor",
    "bare_p50_ms",
    "bare_p99_ms",
    "bare_requests_per_s",
    "bare_cpu_ms_per_request",
    "bare_open_p99_ms",
    "vs_bare",
    "tool_p50_ms",
    "exposed_frac",
    "cpu_ms_per_request",
    "cold_start_s",
    "memory_bytes",
    "busy_before_frac",
)


def run(
    *,
    runs: int = 1,
    events: int = 250_000,
    items: int = 100_000,
    seconds: float = 10.0,
    real_time: bool = False,
    seed: int = 0,
) -> BenchResult:
    """Load a service of two workers over HTTP from another process, on a trained release.

    Users have full histories of 50; the online store is read and every shown item is sent to an
    embedded Kafka broker on the same machine. Eight closed-loop clients give ``p50_ms`` to
    ``p999_ms``; the most that 1, 8 or 32 clients get is ``saturation_rps``; half of it is offered
    as Poisson arrivals, timed from when each was due: ``open_...``. ``floor_...`` is the tower and
    the index called in this process, ``vs_floor`` its median over the one through HTTP with a
    single client. ``bare_...`` is the plainest service of the same tower and index, loaded in the
    same way just before and after (``recbench.benchmarks.bare_stack``); ``vs_bare`` is its
    p99 over the service's, with eight clients. ``tool_p50_ms`` is what the load tool finds at
    a server that does nothing; ``busy_before_frac`` the share of the cores that others used before.

    Args:
        runs: how often; figures are medians.
        events: of the log that the two-tower is trained on.
        items: of the catalogue: perturbed copies of the trained one.
        seconds: of each loop.
        real_time: whether the service, and its clients, run at real-time priority.
        seed: of everything.

    Raises:
        InputError: a number that is not positive.
        JobError: the service does not start, a closed loop fails, or exposures are lost.
    """
    if min(runs, events, items, seconds) <= 0:
        raise InputError(
            "`runs`, `events`, `items` and `seconds` must be positive, got "
            f"{runs, events, items, seconds}"
        )
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        registry = Registry(workspace / "registry")
        small = trained_release(registry, events=events, seed=seed)
        release = enlarged(small, registry=registry, n_items=items, seed=seed)
        registry.publish(release.manifest.release)
        for _ in range(runs):
            measured.append(
                _measured(workspace, release, seconds=seconds, real_time=real_time, seed=seed)
            )
    return BenchResult("serve", medians(measured, keys=KEYS), measured)


def _measured(
    workspace: Path, release: Release, *, seconds: float, real_time: bool, seed: int
) -> dict[str, float]:
    questions = Questions(release)
    options = ["--real-time"] if real_time else []
    floor = latency_percentiles(floor_ms(release, questions))
    with load_process() as pool:
        figures = {"busy_before_frac": busy_frac()}
        figures["tool_p50_ms"] = tool_ms(pool, questions.bodies)
        with (
            bare_service(workspace) as bare,
            full_service(workspace, release, options=options) as (service, broker),
        ):
            figures |= _bare(bare, pool, questions.bodies, seconds=seconds)
            _, warm = by_clients(
                pool,
                service.target,
                questions.bodies,
                clients=[CLIENTS],
                seconds=WARM_S,
                real_time=real_time,
            )
            cpu_s = service.cpu_s()
            table, loops = by_clients(
                pool, service.target, questions.bodies, seconds=seconds, real_time=real_time
            )
            n_answered = sum(len(one.answered) for one in loops.values())
            figures["cpu_ms_per_request"] = (service.cpu_s() - cpu_s) / max(1, n_answered) * 1e3
            saturation = saturation_per_s(table)
            load = partial(
                open_loop,
                bodies=questions.bodies,
                per_s=saturation / 2,
                seconds=seconds,
                seed=seed,
                real_time=real_time,
            )
            opened = pool.submit(load, service.target).result()
            bare_opened = pool.submit(load, bare.target).result()
            figures["memory_bytes"] = service.memory_bytes()
            every = [*warm.values(), *loops.values(), opened]
            n_shown = sum(int(one.answered["items"].list.len().sum()) for one in every)
            figures["exposed_frac"] = _n_messages(broker, at_least=n_shown) / n_shown
    totals = [one.summary() for one in every]
    closed, open_ = loops[CLIENTS].summary(), opened.summary()
    return figures | {
        "bare_open_p99_ms": bare_opened.summary()["p99_ms"],
        "vs_bare": figures["bare_p99_ms"] / closed["p99_ms"],
        **{name: closed[name] for name in ("p50_ms", "p90_ms", "p99_ms", "p999_ms")},
        "requests_per_s": closed["answered_per_s"],
        "saturation_rps": saturation,
        **{f"open_{name}": open_[name] for name in ("p50_ms", "p99_ms", "p999_ms")},
        "offered_rps": open_["offered_per_s"],
        "errors": sum(one["errors"] for one in totals),
        "fallbacks": sum(one["fallbacks"] for one in totals),
        "floor_p50_ms": floor["p50_ms"],
        "floor_p99_ms": floor["p99_ms"],
        "vs_floor": floor["p50_ms"] / loops[1].summary()["p50_ms"],
        "cold_start_s": service.cold_start_s,
    }


def _bare(
    bare: RunningService, pool: Executor, bodies: list[bytes], *, seconds: float
) -> dict[str, float]:
    by_clients(pool, bare.target, bodies, clients=[CLIENTS], seconds=WARM_S)
    cpu_s, loops = bare.cpu_s(), []
    for _ in range(BARE_LOOPS):
        _, answers = by_clients(pool, bare.target, bodies, clients=[CLIENTS], seconds=seconds)
        loops.append(answers[CLIENTS].summary())
    n_answered = sum(loop["requests"] - loop["errors"] for loop in loops)
    best = min(loops, key=lambda loop: loop["p99_ms"])
    return {
        "bare_p50_ms": best["p50_ms"],
        "bare_p99_ms": best["p99_ms"],
        "bare_requests_per_s": best["answered_per_s"],
        "bare_cpu_ms_per_request": (bare.cpu_s() - cpu_s) / max(1, n_answered) * 1e3,
    }


def floor_ms(release: Release, questions: Questions) -> npt.NDArray[np.float64]:
    """Milliseconds of each of some 2,000 calls of the tower and the index, for full histories."""
    served = ServedRelease.load(release)
    served.warm()
    asked = [served.known(served.histories.row(user)) for user in questions.users.tolist()]
    taken = []
    for number in range(max(LEAST_CALLS, len(asked))):
        user = asked[number % len(asked)]
        began = time.perf_counter()
        queries = served.query_embeddings([user])
        served.best(queries, k=questions.k, excluded=[user.seen], categories=None)
        taken.append(time.perf_counter() - began)
    return np.array(taken) * 1e3


def tool_ms(pool: Executor, bodies: Sequence[bytes], *, seconds: float = TOOL_S) -> float:
    """The median latency that eight closed-loop clients find at a server that does nothing."""
    items = [{"item_id": n, "score": n / 3, "position": n, "propensity": None} for n in range(20)]
    reply = {"request_id": "0", "release": "none", "items": items, "fallback": None}
    with canned_server(json.dumps(reply).encode()) as port:
        target = Target(port=port)
        table, _ = by_clients(pool, target, list(bodies), clients=[CLIENTS], seconds=seconds)
    return float(table["p50_ms"][0])


def _n_messages(broker: Broker, *, at_least: int) -> int:
    """How many exposures the broker has, after some seconds of patience for the last ones.

    Raises:
        JobError: some are missing.
    """
    from confluent_kafka import Consumer, TopicPartition

    # read, not asked for: the embedded broker's end offset leaves out its last batch
    consumer = Consumer(broker.client_settings() | {"group.id": "count"})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    deadline, held = time.monotonic() + DELIVERY_S, 0
    try:
        while held < at_least and time.monotonic() < deadline:
            came = consumer.consume(AT_ONCE, timeout=0.5)
            held += sum(message.error() is None for message in came)
    finally:
        consumer.close()
    if held < at_least:
        raise JobError(f"The broker has {held} exposures of {at_least} that were shown")
    return held
