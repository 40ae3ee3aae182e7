"""What bandits cost: events learnt from a second, and the time of one decision, on one core."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.benchmarks.result import BenchResult, medians
from recbench.benchmarks.served_policy import deciders, release_of, served_answers
from recbench.errors import InputError
from recbench.evaluation.off_policy.reward import Reward
from recbench.policy.bandits import epsilon_list, scores_of
from recbench.policy.context import context_dim, tower_context
from recbench.policy.exploration import ExplorationBudget, explored
from recbench.policy.learner import Learner
from recbench.policy.neural import learn_network, statistics_of
from recbench.policy.statistics import Posterior
from recbench.serving.decider import Decider

__all__ = ["run"]

DIM, FURTHER, CANDIDATES, K = 64, 4, 100, 10
N_USERS, N_ITEMS = 5_000, 20_000
READ = 5_000  # rows of a stream taken in at once
CLICKS = 0.2
WINDOW_US = 600_000_000
REQUESTS_PER_S = 200
DECISIONS, WARM = 2_000, 100
BUDGET = ExplorationBudget(traffic_frac=1.0, pool=CANDIDATES - K)

Floats = npt.NDArray[np.float64]
KINDS = ("p50_ms", "p99_ms", "cpu_p99_ms")
Decide = Callable[[int], object]


class _World(NamedTuple):
    queries: Floats  # (U, D)
    candidates: Floats  # (I, D)
    further: Floats  # (I, F)

    def context(self, shown: pl.DataFrame) -> npt.NDArray[np.floating]:
        """(E, d) of exposures; ids are rows."""
        users, items = shown[c.USER_ID].to_numpy(), shown[c.ITEM_ID].to_numpy()
        return tower_context(self.queries[users], self.candidates[items], self.further[items])


def run(*, events: int = 200_000, runs: int = 3, seed: int = 0) -> BenchResult:
    """Exposures and clicks into statistics, and lists of 10 of 100 candidates.

    ``updates_per_s`` counts exposures and clicks of a stream from a frame of 5,000 rows at a time:
    features of both towers (64 dimensions), the join by request within ten minutes, the sums, and
    a posterior after each frame. ``vs_sums`` is that over the sums alone, without stream and join.
    ``decision_p99_ms`` is the slowest of the four policies, each with its features, scores, and a
    list with propensities; ``explored_...`` has one slot drawn among the candidates.
    ``served_...`` is all that a service does for a decided list, with contexts as they are logged,
    ``served_floor_...`` with a floor under the long tail, too. On a machine that does other things
    look at ``cpu_p99_ms``.

    Args:
        events: rows of the stream.
        runs: figures are their medians.
        seed: of all.

    Raises:
        InputError: fewer than 1,000 events.
    """
    if events < 1_000:
        raise InputError(f"`events` must be at least 1,000, got {events}")
    rng = np.random.default_rng(seed)
    world = _World(
        rng.normal(size=(N_USERS, DIM)) / np.sqrt(DIM),
        rng.normal(size=(N_ITEMS, DIM)) / np.sqrt(DIM),
        rng.normal(size=(N_ITEMS, FURTHER)),
    )
    stream = _stream(events, rng)
    rows = [_one_run(world, stream, rng) for _ in range(runs)]
    return BenchResult("policy", medians(rows, keys=list(rows[0])), rows)


def _one_run(world: _World, stream: pl.DataFrame, rng: np.random.Generator) -> dict[str, float]:
    dim = context_dim(DIM, FURTHER)
    learner = Learner(dim, world.context, window_us=WINDOW_US, reward=Reward())
    start = time.perf_counter()
    for first in range(0, len(stream), READ):
        learner.feed(stream[first : first + READ])
        posterior = Posterior.of(learner.statistics)
    seconds = time.perf_counter() - start
    shown = stream.filter(pl.col(c.POSITION).is_not_null())
    features, rewards = world.context(shown), rng.random(len(shown))
    start = time.perf_counter()
    for first in range(0, len(shown), READ):
        learner.statistics.add(features[first : first + READ], rewards[first : first + READ])
    alone = time.perf_counter() - start
    rates = {"updates_per_s": len(stream) / seconds, "vs_sums": alone / seconds}
    sample = slice(0, min(5_000, len(shown)))
    return rates | _decisions(world, posterior, features[sample], rewards[sample], rng)


def _decisions(
    world: _World,
    posterior: Posterior,
    features: npt.NDArray[np.floating],
    rewards: Floats,
    rng: np.random.Generator,
) -> dict[str, float]:
    network = learn_network(features, rewards, steps=20)
    neural = Posterior.of(statistics_of(network, features, rewards))
    asked = rng.integers(0, N_ITEMS, size=(DECISIONS + WARM, CANDIDATES))
    users = rng.integers(0, N_USERS, size=DECISIONS + WARM)

    def context(at: int) -> npt.NDArray[np.floating]:
        items = asked[at]
        return tower_context(
            world.queries[users[at]], world.candidates[items], world.further[items]
        )

    def listed(scores: Floats) -> object:
        return epsilon_list(scores, K, epsilon=0.1, rng=rng)

    policies: dict[str, Decide] = {
        "epsilon_greedy": lambda at: listed(scores_of(posterior, context(at), "greedy")),
        "lin_ucb": lambda at: listed(scores_of(posterior, context(at), "ucb", scale=0.5)),
        "lin_ts": lambda at: listed(
            scores_of(posterior, context(at), "thompson", scale=0.5, rng=rng)
        ),
        "neural_linear": lambda at: listed(
            scores_of(neural, network(context(at)), "thompson", scale=0.5, rng=rng)
        ),
    }
    found: dict[str, float] = {}
    for name, decide in policies.items():
        found |= {f"{name}_{kind}": value for kind, value in _times(decide).items()}

    def explore(at: int) -> object:
        scores = -np.sort(-scores_of(posterior, context(at), "greedy"))
        return explored(scores, K, BUDGET, rng)

    found |= _served()
    worst = {f"decision_{kind}": max(found[f"{n}_{kind}"] for n in policies) for kind in KINDS}
    return worst | found | {f"explored_{kind}": t for kind, t in _times(explore).items()}


def _served() -> dict[str, float]:
    """A service's part, without and with a floor."""
    release = release_of(N_ITEMS, DIM)
    wide, answers = served_answers(release, DECISIONS + WARM, k=K, candidates=CANDIDATES)
    found: dict[str, float] = {}
    for name, decider in deciders(release, candidates=CANDIDATES).items():

        def decided(at: int, decider: Decider = decider) -> object:
            return decider.list_of(release, wide, answers[at])

        found |= {f"{name}_{kind}": value for kind, value in _times(decided).items()}
    return found


def _times(decide: Decide) -> dict[str, float]:
    """By the clock, and in CPU time of this thread, which others on the machine do not disturb."""
    times = np.empty((DECISIONS, 2))
    for at in range(DECISIONS + WARM):
        start = time.perf_counter(), time.thread_time()
        decide(at)
        if at >= WARM:
            times[at - WARM] = time.perf_counter() - start[0], time.thread_time() - start[1]
    wall_ms, cpu_ms = (times * 1e3).T
    quantiles = np.quantile(wall_ms, [0.5, 0.99]), np.quantile(cpu_ms, [0.99])
    return dict(zip(KINDS, np.concatenate(quantiles).tolist(), strict=True))


def _stream(n: int, rng: np.random.Generator) -> pl.DataFrame:
    """About ``n`` rows of lists of ten, and clicks on a fifth of them seconds to minutes later."""
    n_requests = max(1, round(n / (K * (1 + CLICKS))))
    request = np.repeat(np.arange(n_requests), K)
    item = (rng.integers(0, N_ITEMS, size=n_requests)[:, None] + 7 * np.arange(K)).ravel() % N_ITEMS
    ts = request * (1_000_000 // REQUESTS_PER_S)
    shown = pl.DataFrame(
        {
            c.USER_ID: rng.integers(0, N_USERS, size=n_requests)[request],
            c.ITEM_ID: item,
            c.REQUEST_ID: request,
            c.TS: ts,
            c.CLICKED: np.zeros(len(request), dtype=np.bool_),
            c.POSITION: np.tile(np.arange(K, dtype=np.int16), n_requests),
        }
    )
    after = rng.exponential(60e6, size=len(request)).astype(np.int64)
    clicks = shown.with_columns(
        pl.Series(c.TS, ts + after),
        pl.lit(True).alias(c.CLICKED),
        pl.lit(None, pl.Int16).alias(c.POSITION),
    ).filter(pl.Series(rng.random(len(request)) < CLICKS))
    return (
        pl.concat([shown, clicks])
        .sort(c.TS, maintain_order=True)
        .with_columns(
            pl.col(c.TS).cast(pl.Datetime("us", "UTC")),
            pl.lit(0, pl.Int32).alias(c.KAFKA_PARTITION),
            pl.int_range(pl.len()).alias(c.KAFKA_OFFSET),
        )
    )
