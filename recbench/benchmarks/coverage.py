"""Whether intervals of off-policy estimates hold: simulated logs whose truth is known."""

from collections.abc import Iterator

import numpy as np

from recbench.benchmarks.coverage_worlds import ListWorld, RoundWorld
from recbench.benchmarks.result import BenchResult
from recbench.errors import InputError
from recbench.evaluation.off_policy import (
    Terms,
    Thresholds,
    bernstein,
    bootstrap,
    diagnose,
    doubly_robust,
    ips,
    snips,
)
from recbench.evaluation.off_policy.slates import (
    cascade_doubly_robust,
    independent_ips,
    interaction_ips,
)

__all__ = ["run"]

NEVER = 5  # actions that an unsupported log never shows
RESAMPLES = 1_000
FEWEST = 1_000


def run(*, events: int = 20_000, runs: int = 1_000, seed: int = 0) -> BenchResult:
    """How often 95 % intervals of estimates contain the truth, their widths, and abstentions.

    Each run draws a world (100 contexts, 20 actions, clicks), a logging policy of which 30 % is
    uniform, two target policies, and a log; and logs of lists (3 of 6 items) whose clicks depend on
    a slot's own item (``iips``) or on the one above, too (``rips``, ``cascade_dr``). Reward models
    know no context, and err. ``difference`` is that of the two targets by DR, paired.

    ``abstained_supported`` and ``abstained_unsupported`` are shares of logs on which a report says
    "cannot tell": on the logs above, and on others that never show 5 of the 20 actions, which the
    target shows in 10 to 40 % of its rounds. What was possible is not in the log: only weights
    tell.

    Args:
        events: rows, or lists, of each log.
        runs: logs of each kind.
        seed: of all.

    Raises:
        InputError: fewer than 1,000 rows: below, a bootstrap means little.
    """
    if events < FEWEST:
        raise InputError(f"`events` must be at least {FEWEST}, got {events}")
    rows = [_one_run(events, np.random.SeedSequence([seed, number])) for number in range(runs)]
    figures = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return BenchResult("coverage", figures, rows)


def _one_run(n: int, seed: np.random.SeedSequence) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    found, cases = {}, [*_round_cases(n, rng), *_list_cases(n, rng)]
    bounds = bootstrap(
        [terms for _, terms, _ in cases], seed=int(rng.integers(1 << 32)), resamples=RESAMPLES
    )
    for (name, terms, truth), drawn in zip(cases, bounds, strict=True):
        for kind, held in (("bootstrap", drawn), ("bernstein", bernstein(terms))):
            found[f"{kind}_{name}"] = float(held.low <= truth <= held.high)
            found[f"{kind}_{name}_width"] = held.high - held.low
    found["abstained_supported"] = _abstained(n, rng, never=0)
    found["abstained_unsupported"] = _abstained(n, rng, never=NEVER)
    return found


def _round_cases(n: int, rng: np.random.Generator) -> Iterator[tuple[str, Terms, float]]:
    world = RoundWorld.drawn(rng)
    feedback, (first, second) = world.log(n, rng)
    truth, other = world.truths
    yield "ips", ips(feedback, first), truth
    yield "snips", snips(feedback, first), truth
    doubly = doubly_robust(feedback, first)
    yield "dr", doubly, truth
    yield "difference", doubly.minus(doubly_robust(feedback, second)), truth - other


def _list_cases(n: int, rng: np.random.Generator) -> Iterator[tuple[str, Terms, float]]:
    alone = ListWorld.drawn(rng, reads_down=False)
    yield "iips", independent_ips(alone.log(n, rng)[0]), alone.truth
    world = ListWorld.drawn(rng, reads_down=True)
    slates, logged, mean = world.log(n, rng)
    yield "rips", interaction_ips(slates), world.truth
    doubly = cascade_doubly_robust(slates, expected_logged=logged, expected=mean)
    yield "cascade_dr", doubly, world.truth


def _abstained(n: int, rng: np.random.Generator, *, never: int) -> float:
    """The share of two targets of one log that are not told."""
    feedback, targets = RoundWorld.drawn(rng, never=never).log(n, rng)
    limits = Thresholds()
    objections = [diagnose(feedback, target).objections(limits) for target in targets]
    return float(np.mean([bool(found) for found in objections]))
