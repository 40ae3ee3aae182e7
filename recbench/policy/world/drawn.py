"""Policies of the simulated world that do not learn: what logs are made with, and compared to."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.noise import keyed_uniforms
from recbench.datasets.world.protocol import Asked, Feedback, Policy, Slates
from recbench.errors import InputError
from recbench.policy.world.retrieval import Pool, TowerRetrieval

__all__ = ["DrawnPolicy", "Scores", "Switched", "drawn_slates", "softened"]

DRAWS = 1_301  # stream of keyed numbers

Floats = npt.NDArray[np.float64]


class Scores(Protocol):
    """How a policy likes the candidates of requests."""

    def __call__(self, asked: Asked, pool: Pool) -> Floats:
        """(R, C)."""
        ...


def softened(scores: Floats, *, temperature: float, even: float) -> Floats:
    """(R, C) chances: softmax of the scores, and a share that all candidates have alike.

    A temperature of 0 gives the best one all but the even share.
    """
    if not temperature >= 0 or not 0 <= even <= 1:
        raise InputError(
            f"`temperature` must not be negative and `even` lie in [0, 1], got {temperature} and "
            f"{even}"
        )
    if temperature:
        weights = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
        weights /= weights.sum(axis=1, keepdims=True)
    else:
        weights = np.zeros_like(scores)
        weights[np.arange(len(scores)), scores.argmax(axis=1)] = 1.0
    mixed: Floats = (1 - even) * weights + even / scores.shape[1]
    return mixed


def drawn_slates(asked: Asked, pool: Pool, chances: Floats, *, seed: int) -> Slates:
    """Slates drawn without replacement by ``chances`` (R, C); keyed by request and item.

    Raises:
        InputError: a request has fewer candidates with a chance than a slate has slots.
    """
    if (short := np.count_nonzero(chances > 0, axis=1) < asked.slate).any():
        raise InputError(
            f"{int(short.sum())} of {len(asked)} requests have fewer than {asked.slate} candidates "
            "with a chance: raise `even`"
        )
    luck = keyed_uniforms(seed, DRAWS, asked.request_ids[:, None], pool.item_ids)
    with np.errstate(divide="ignore"):
        finish = -np.log(luck) / chances  # an exponential race
    order = np.argsort(finish, axis=1)[:, : asked.slate]
    chosen = np.take_along_axis(chances, order, axis=1)
    left = np.maximum(1.0 - np.cumsum(chosen, axis=1) + chosen, chosen)
    return Slates(np.take_along_axis(pool.item_ids, order, axis=1), chosen / left)


class DrawnPolicy:
    """Shows retrieved candidates by chances that follow fixed scores.

    Args:
        retrieval: of the candidates.
        scores: of them; default: those of the towers.
        n_candidates: C.
        temperature: of the scores.
        even: the share that all candidates have alike; its promise is ``even / C``.
        seed: of the draws.
    """

    def __init__(
        self,
        retrieval: TowerRetrieval,
        *,
        scores: Scores | None = None,
        n_candidates: int = 100,
        temperature: float = 0.0,
        even: float = 0.05,
        seed: int = 0,
    ) -> None:
        self.retrieval, self.n_candidates, self.even = retrieval, n_candidates, even
        self._scores, self._temperature, self._seed = scores, temperature, seed

    def observe(self, feedback: Feedback) -> None:
        """Items that are born; nothing is learnt."""
        self.retrieval.meet(feedback.new_items)

    def chances(self, asked: Asked, pool: Pool) -> Floats:
        """(R, C) of each candidate for the first slot."""
        scores = pool.scores if self._scores is None else self._scores(asked, pool)
        return softened(scores, temperature=self._temperature, even=self.even)

    def slates(self, asked: Asked) -> Slates:
        """Drawn from the pool."""
        pool = self.retrieval.pool(asked, self.n_candidates)
        return drawn_slates(asked, pool, self.chances(asked, pool), seed=self._seed)


class Switched:
    """Policies one after the other; each is told of everything from the beginning.

    Args:
        first: serves from hour 0 on.
        then: (hour, what makes the policy that serves from there on): made only then, and told
            then of all that was known before.
    """

    def __init__(self, first: Policy, *then: tuple[float, Callable[[], Policy]]) -> None:
        self.serving: Policy = first
        self._then = list(then)
        self._past: list[Feedback] = []

    def observe(self, feedback: Feedback) -> None:
        """Tell it on; at its hour the next policy takes over."""
        self.serving.observe(feedback)
        self._past.append(feedback)
        while self._then and feedback.until_h >= self._then[0][0] - 1e-9:
            _, make = self._then.pop(0)
            self.serving = make()
            for past in self._past:
                self.serving.observe(past)

    def slates(self, asked: Asked) -> Slates:
        """By the one that serves now."""
        return self.serving.slates(asked)
