"""Releases published under load: what clients feel of it, and whether any answer mixes two."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import polars as pl

from recbench.benchmarks.beside import publish_each, training
from recbench.benchmarks.full_service import full_service
from recbench.benchmarks.mixed import Verified, verify_answers
from recbench.benchmarks.result import BenchResult, medians
from recbench.benchmarks.service_load import (
    Questions,
    busy_frac,
    by_clients,
    saturation_per_s,
)
from recbench.benchmarks.trained_release import enlarged, trained_release
from recbench.errors import InputError, JobError
from recbench.refresh import Registry
from recbench.serving.load import Answers, Target, closed_loop, load_process, open_loop

__all__ = ["Swapped", "run", "swap_under_load"]

WARM_S, PROBE_S = 2.0, 3.0
PROBE_CLIENTS, CONNECTIONS = 32, 64
ROUND = 6  # releases, then the rate is set anew
REST_S = 1.0  # after what saturates the service, until it is as it was
SWAPS, EVERY_S = 24, 3.0
CALM_S = 10.0  # of the same load before: what the machine gives at this hour
LEAST_PER_S = 1_000.0  # offered, where half the saturation rate is less
SETTLE_S = 8.0  # for the last release to be laid out with whatever time is left
NEAR_S = 1.0  # after a publication: what it may have slowed down
KEYS = (
    "open_p99_ms",
    "p50_ms",
    "p999_ms",
    "near_swap_p99_ms",
    "calm_p99_ms",
    "vs_calm",
    "offered_rps",
    "saturation_rps",
    "most_offered_frac",
    "failed_requests",
    "mixed_releases",
    "swaps",
    "fallbacks",
    "recall_at_k",
    "published_to_served_s",
    "busy_before_frac",
)


@dataclass(frozen=True, slots=True, eq=False)
class Swapped:
    """Open loops during which releases were published."""

    answers: Answers
    published: list[tuple[str, float]]  # release, seconds since the load began
    verified: Verified
    calm: Answers  # the same load before, with nothing published
    per_s: list[float]  # requests a second that were offered, a loop each
    saturation: list[float]  # what closed loops reached before each of them, and after the last

    def figures(self) -> dict[str, float]:
        """What is told of it; latencies are from when a request was due."""
        calm_p99_ms = self.calm.summary()["p99_ms"]
        summary = self.answers.summary()
        answered = self.answers.answered
        since = pl.min_horizontal(
            pl.when(pl.col("due_s") >= at).then(pl.col("due_s") - at) for _, at in self.published
        )
        near = answered.filter(since <= NEAR_S)
        delays = [delay for release, at in self.published for delay in self._delay(release, at)]
        if not delays:
            raise JobError(
                f"None of {len(self.published)} releases was served before the load ended: other "
                "work takes all time of this machine, or `every_s` is too short for it"
            )
        return {
            "open_p99_ms": summary["p99_ms"],
            "p50_ms": summary["p50_ms"],
            "p999_ms": summary["p999_ms"],
            "near_swap_p99_ms": _p99(near["latency_ms"]),
            "calm_p99_ms": calm_p99_ms,
            "vs_calm": calm_p99_ms / summary["p99_ms"],
            "offered_rps": fmean(self.per_s),
            "saturation_rps": fmean(self.saturation),
            "most_offered_frac": max(self._offered_fracs()),
            "failed_requests": summary["errors"],
            "mixed_releases": self.verified.n_mixed,
            "swaps": self.verified.n_releases - 1,
            "fallbacks": summary["fallbacks"],
            "recall_at_k": self.verified.recall,
            "published_to_served_s": _p99(pl.Series(delays, dtype=pl.Float64)),
        }

    def _offered_fracs(self) -> Iterator[float]:
        """Of what the service bore, as measured on both sides of each loop."""
        for per_s, bore in zip(self.per_s, pairwise(self.saturation), strict=True):
            yield per_s / fmean(bore)

    def _delay(self, release: str, at: float) -> list[float]:
        """From the move of the pointer to the first answer of the release."""
        first = self.answers.answered.filter(release=release)["done_s"].min()
        return [] if first is None else [float(first) - at]  # type: ignore[arg-type]  # a float column


def swap_under_load(
    target: Target,
    questions: Questions,
    releases: Sequence[str],
    *,
    registry: Registry,
    pool: Executor,
    per_s: float | None,
    every_s: float,
    real_time: bool = False,
) -> Swapped:
    """Publish one release after the other while an open loop goes on; verify all answers then.

    The same loop runs for a few seconds before, in calm: machines differ by the hour. What a shared
    one bears changes within a minute, too, so half of it is found out anew every ``ROUND``
    releases, by a closed loop while nothing is published.

    Args:
        target: a service that follows the registry.
        questions: what is asked.
        releases: sealed ones, to be published in this order.
        registry: theirs.
        pool: of ``load_process``.
        per_s: requests a second; None: half of what the service bears, and 1,000 at least.
        every_s: between two publications; a loop goes on for twice as long after its last one, and
            for ``SETTLE_S`` at least.
        real_time: whether the load goes before all ordinary work of the machine.
    """
    a_round = len(releases) if per_s else ROUND
    rounds = [releases[at : at + a_round] for at in range(0, len(releases), a_round)]
    probe, load = (
        partial(loop, target, questions.bodies, real_time=real_time)
        for loop in (closed_loop, open_loop)
    )

    def bears() -> float:
        """Requests a second; what is measured then begins after a rest."""
        answers = pool.submit(probe, clients=PROBE_CLIENTS, seconds=PROBE_S).result()
        time.sleep(REST_S)
        return saturation_per_s(pl.DataFrame([answers.summary()]))

    def rate() -> float:
        return per_s or max(LEAST_PER_S, saturation[-1] / 2)

    saturation, loops, moved = [bears()], [], []
    calm_s = min(CALM_S, len(releases) * every_s)
    calm = pool.submit(load, per_s=rate(), connections=CONNECTIONS, seconds=calm_s).result()
    with load_process() as jobs:
        jobs.submit(abs, 0).result()  # the start of its process is no part of this
        for seed, names in enumerate(rounds):
            loading = pool.submit(
                load,
                per_s=rate(),
                connections=CONNECTIONS,
                seconds=len(names) * every_s + max(2 * every_s, SETTLE_S),
                seed=seed,
            )
            moved += jobs.submit(publish_each, registry, names, every_s=every_s).result()
            loops.append(loading.result())
            saturation.append(bears())
    answers = Answers.joined(loops)
    offered = [loop.summary()["offered_per_s"] for loop in loops]
    published = [(name, at - answers.began_at) for name, at in zip(releases, moved, strict=True)]
    own = answers.answered.filter(pl.col("fallback").is_null())
    verified = verify_answers(own, questions.users, registry=registry, k=questions.k)
    return Swapped(answers, published, verified, calm, offered, saturation)


def run(
    *,
    runs: int = 1,
    events: int = 250_000,
    items: int = 100_000,
    swaps: int = SWAPS,
    every_s: float = EVERY_S,
    per_s: float | None = None,
    beside: bool = False,
    real_time: bool = False,
    seed: int = 0,
) -> BenchResult:
    """Publish releases every few seconds while requests arrive by a Poisson process.

    The service runs with two workers, an online store and a broker for exposures. Half of the rate
    that its closed loops reach is offered, and 1,000 requests a second at least. Every release has
    a perturbed catalogue of its own, so every answer shows which one it was made of; each is
    compared with that release's files afterwards.
    ``near_swap_p99_ms`` is of what was due within a second of a publication, ``calm_p99_ms`` of the
    same load in the seconds before the first one (a model trains beside it, where one does),
    ``saturation_rps`` what closed loops reached before every sixth release and at the end, from
    which the rate is set anew each time: what a shared machine bears changes within a minute.
    ``most_offered_frac`` is the largest share of it that was offered, by what was measured on both
    sides of a loop; ``busy_before_frac`` the share of the cores that others used before.

    Args:
        runs: how often; figures are medians.
        events: of the log that the two-tower is trained on.
        items: of the catalogue.
        swaps: releases to be published.
        every_s: between two of them.
        per_s: requests a second; None: half of what the service bears, and 1,000 at least.
        beside: whether a two-tower is trained meanwhile, at idle priority.
        real_time: whether service and client run at real-time priority (``serve --real-time``).
        seed: of everything.

    Raises:
        InputError: a number below 1.
        JobError: the service does not start, or fails without any swap.
    """
    if min(runs, events, items, swaps, every_s, 1 if per_s is None else per_s) <= 0:
        raise InputError(
            "`runs`, `events`, `items`, `swaps`, `every_s` and `per_s` must be positive, got "
            f"{runs, events, items, swaps, every_s, per_s}"
        )
    measured = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            registry = Registry(Path(folder) / "registry")
            small = trained_release(registry, events=events, seed=seed)
            names = [
                enlarged(small, registry=registry, n_items=items, seed=seed + at).manifest.release
                for at in range(swaps + 1)
            ]
            questions = Questions(registry.publish(names[0]))
            busy = busy_frac()
            with training(seed=seed) if beside else nullcontext():
                swapped = _on_a_service(
                    registry,
                    names[1:],
                    questions,
                    every_s=every_s,
                    per_s=per_s,
                    real_time=real_time,
                )
        measured.append(swapped.figures() | {"busy_before_frac": busy})
    return BenchResult("swap", medians(measured, keys=KEYS), measured)


def _on_a_service(
    registry: Registry,
    releases: Sequence[str],
    questions: Questions,
    *,
    every_s: float,
    per_s: float | None,
    real_time: bool,
) -> Swapped:
    """Start a service, warm it, and swap under half of what it bears or under ``per_s``."""
    workspace, first = registry.path.parent, registry.open(verify=False)
    options = ["--real-time"] if real_time else []
    with (
        full_service(workspace, first, options=options) as (service, _),
        load_process() as pool,
    ):
        target = service.target
        by_clients(
            *(pool, target, questions.bodies), clients=[8], seconds=WARM_S, real_time=real_time
        )
        return swap_under_load(
            target,
            questions,
            releases,
            registry=registry,
            pool=pool,
            per_s=per_s,
            every_s=every_s,
            real_time=real_time,
        )


def _p99(values: pl.Series) -> float:
    found = values.quantile(0.99, interpolation="higher")
    return float("nan") if found is None else found
