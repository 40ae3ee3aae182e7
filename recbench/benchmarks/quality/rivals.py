"""The rivals of a log, each with the dials that are tried: the same number for everybody."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from recbench.benchmarks.quality.mix import Mix
from recbench.evaluation.recommender import Recommender
from recbench.models.baselines import (
    ALS,
    BPR,
    SLIM,
    VSKNN,
    DecayedEASE,
    ItemKNN,
    Markov,
    PersonalFrequency,
    Popularity,
    RecencyPopularity,
)
from recbench.tables.log import Protocol
from recbench.tables.queries import InteractionLog

__all__ = ["Rival", "rivals"]

DAY_S = 86_400.0
REST, REST_DAYS = 1e-3, 4.0  # weight and half-life of the popularity that fills a list up
NEVER_S = float("inf")


# (log, at=microseconds, seed=, **dials) -> a model of the clicks before then
Fit = Callable[..., Recommender]


@dataclass(frozen=True, slots=True)
class Rival:
    """A kind of model and the dials that may be tried."""

    name: str
    fit: Fit
    dials: Mapping[str, Sequence[float]]
    with_prior: bool = True  # whether it stands there once more, with a recency prior

    def trials(self, n: int, *, seed: int) -> list[dict[str, float]]:
        """At most ``n`` settings: the first of each dial, then others drawn from the grid."""
        every = [
            dict(zip(self.dials, values, strict=True))
            for values in itertools.product(*self.dials.values())
        ]
        order = 1 + np.random.default_rng(seed).permutation(len(every) - 1)
        return [every[0], *(every[at] for at in order[: n - 1])]


def rivals(protocol: Protocol) -> list[Rival]:
    """The baselines of a protocol; their first dials are sensible ones."""
    days = {"half_life_days": (1.0, 0.5, 2.0, 4.0, 0.25, 7.0, 14.0, 30.0)}
    item_to_item = [
        Rival("ItemKNN", _plain(ItemKNN.fit), {"k": (100, 30, 300), "shrink": (50.0, 5.0, 200.0)}),
        Rival("EASE", _ease, {"regularisation": (400.0, 50.0, 150.0, 1_000.0)}),
        Rival(
            "decay-weighted EASE",
            _decayed_ease,
            {
                "half_life_days": (60.0, 20.0),
                "query_days": (30.0, 10.0, 90.0),
                "regularisation": (50.0, 200.0),
            },
        ),
        Rival("SLIM", _plain(SLIM.fit), {"l1": (1.0, 0.2, 3.0), "l2": (20.0, 5.0, 100.0)}),
    ]
    factors = [
        Rival("ALS", _seeded(ALS.fit), {"factors": (64, 16, 128), "regularisation": (1.0, 10.0)}),
        Rival(
            "BPR",
            _seeded(BPR.fit),
            {"iterations": (50, 20, 100), "factors": (32, 64), "learning_rate": (0.01, 0.03)},
        ),
    ]
    own = [Rival("personal frequency", _personal, {"half_life_days": (120.0, 60.0, 240.0, 30.0)})]
    sessions = [
        Rival("first-order Markov", _plain(partial(Markov.fit, gap=1, two_way=False)), {}),
        Rival("Markov, two-way", _plain(Markov.fit), {"gap": (3, 1, 2, 5)}),
        Rival("V-SKNN", _plain(VSKNN.fit), {"k": (100, 50, 200, 500), "newest": (1_000, 5_000)}),
    ]
    also = {"next_basket": own, "next_in_session": sessions}.get(protocol, [])
    return [
        Rival("popularity", _plain(Popularity.fit), {}, with_prior=False),
        Rival("recency popularity", _recency, days, with_prior=False),
        *item_to_item,
        *factors,
        *also,
    ]


def _plain(fit: Callable[..., Recommender]) -> Fit:
    def fitted(log: InteractionLog, *, at: int, seed: int, **dials: Any) -> Recommender:
        return fit(log, **dials)

    return fitted


def _seeded(fit: Callable[..., Recommender]) -> Fit:
    def fitted(log: InteractionLog, *, at: int, seed: int, **dials: Any) -> Recommender:
        return fit(log, seed=seed, **dials)

    return fitted


def _recency(log: InteractionLog, *, at: int, seed: int, half_life_days: float) -> Recommender:
    return RecencyPopularity.fit(log, at=at, half_life_s=half_life_days * DAY_S)


def _ease(log: InteractionLog, *, at: int, seed: int, regularisation: float) -> Recommender:
    return DecayedEASE.fit(
        log,
        at=at,
        half_life_s=NEVER_S,
        query_half_life_s=NEVER_S,
        regularisation=regularisation,
    )


def _decayed_ease(
    log: InteractionLog,
    *,
    at: int,
    seed: int,
    half_life_days: float,
    query_days: float,
    regularisation: float,
) -> Recommender:
    return DecayedEASE.fit(
        log,
        at=at,
        half_life_s=half_life_days * DAY_S,
        query_half_life_s=query_days * DAY_S,
        regularisation=regularisation,
    )


def _personal(log: InteractionLog, *, at: int, seed: int, half_life_days: float) -> Recommender:
    """Whoever took fewer items than a list holds gets the popular ones after them."""
    own = PersonalFrequency(log.items, half_life_s=half_life_days * DAY_S)
    rest = RecencyPopularity.fit(log, at=at, half_life_s=REST_DAYS * DAY_S)
    return Mix({"own": own, "rest": rest}, (1.0, REST))
