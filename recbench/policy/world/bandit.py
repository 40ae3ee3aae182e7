"""A bandit that decides what the simulated world's users see, and learns from what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.protocol import Asked, Clicks, Exposures, Feedback, Slates
from recbench.errors import InputError
from recbench.evaluation.off_policy.reward import Reward
from recbench.policy.bandits import Rule
from recbench.policy.constraints import ExposureFloor
from recbench.policy.neural import Network, learn_network, statistics_of
from recbench.policy.pending import PendingDecisions
from recbench.policy.statistics import LinearStatistics, Posterior
from recbench.policy.world.context import WorldContext
from recbench.policy.world.drawn import drawn_slates, softened
from recbench.policy.world.retrieval import Pool

__all__ = ["BanditDials", "BanditInWorld", "IsProtected"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
IsProtected = Callable[[Ints], npt.NDArray[np.bool_]]  # of item ids of any shape
HOUR_US = 3_600_000_000
LEARNT_FROM = 50_000  # latest events that a network is learnt from


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditDials:
    """How a bandit decides and learns."""

    rule: Rule = "thompson"
    scale: float = 0.3  # of the bonus, or of the noise
    epsilon: float = 0.02  # of every slot, spread evenly over the candidates: its support
    n_candidates: int = 100
    ridge: float = 1.0
    window_h: float = 0.25  # for which an exposure waits for its rewards
    neural: bool = False  # whether a network's last layer stands for the features
    relearn_h: float = 6.0  # between two networks
    reward: Reward = field(default_factory=Reward)

    def __post_init__(self) -> None:
        """Refuse a bandit without support: its log could not judge another policy."""
        if not 0 < self.epsilon <= 1:
            raise InputError(f"`epsilon` must lie in (0, 1], got {self.epsilon}")


class BanditInWorld:
    """Learns from every exposure it is told of, whoever decided it.

    The propensities of its slates are exact given its scores: the best candidate has all but
    ``epsilon``, which all have alike.

    Args:
        context: features; its own, as it counts.
        dials: how it decides.
        floor: under the exposure of protected items; none by default.
        is_protected: which these are.
        learn_from_h: hour from which on exposures are learnt from; those before may be what the
            towers were trained on, and are counted only.
        seed: of all draws.
    """

    def __init__(
        self,
        context: WorldContext,
        dials: BanditDials,
        *,
        floor: ExposureFloor | None = None,
        is_protected: IsProtected | None = None,
        learn_from_h: float = 0.0,
        seed: int = 0,
    ) -> None:
        if (floor is None) != (is_protected is None):
            raise InputError("`floor` and `is_protected` go together")
        self.context, self.dials, self.floor = context, dials, floor
        self._is_protected, self._seed = is_protected, seed
        self._learn_from_h = learn_from_h
        self._rng = np.random.default_rng([seed, 1])
        self.statistics = LinearStatistics.zeros(context.dim)
        self._posterior = Posterior.of(self.statistics, ridge=dials.ridge)
        window_us = round(dials.window_h * HOUR_US)
        self.pending = PendingDecisions(window_us=window_us, reward=dials.reward)
        self._network: Network | None = None
        self._recent: list[tuple[Floats, Floats]] = []
        self._learn_at_h = dials.relearn_h

    def observe(self, feedback: Feedback) -> None:
        """Join rewards, learn from what is whole, then count."""
        self.context.meet(feedback.new_items)
        self._join(feedback.exposures, feedback.clicks)
        done = self.pending.closed(int(feedback.until_h * HOUR_US))
        if done is not None:
            self._learn(np.asarray(done.features, dtype=np.float64), done.rewards)
        if self.dials.neural and feedback.until_h >= self._learn_at_h:
            self._relearn(feedback.until_h)
        self.context.count(feedback.exposures, feedback.clicks, until_h=feedback.until_h)

    def slates(self, asked: Asked) -> Slates:
        """The candidates of the towers, as the bandit likes them."""
        pool = self.context.retrieval.pool(asked, self.dials.n_candidates)
        scores = self.scores(asked, pool)
        if self.floor is None or self._is_protected is None:
            chances = softened(scores, temperature=0.0, even=self.dials.epsilon)
            return drawn_slates(asked, pool, chances, seed=self._seed)
        protected = self._is_protected(pool.item_ids)
        chances = _kept(self.floor, scores, protected, even=self.dials.epsilon)
        slates = drawn_slates(asked, pool, chances, seed=self._seed)
        self.floor.shown(self._is_protected(slates.item_ids).ravel())
        return slates

    def scores(self, asked: Asked, pool: Pool) -> Floats:
        """(R, C)."""
        n, size = pool.item_ids.shape
        users, hours = np.repeat(asked.user_ids, size), np.repeat(asked.hours, size)
        features = self._represented(self.context.features(users, pool.item_ids.ravel(), hours))
        posterior, dials = self._posterior, self.dials
        if dials.rule == "thompson":
            drawn = np.stack([posterior.sampled(dials.scale, self._rng) for _ in range(n)])
            scores = np.einsum("rcd,rd->rc", features.reshape(n, size, -1), drawn)
            return np.asarray(scores, dtype=np.float64)
        values = posterior.expected(features)
        if dials.rule == "ucb":
            values = values + dials.scale * posterior.spread(features)
        return values.reshape(n, size)

    def _join(self, shown: Exposures, clicks: Clicks) -> None:
        shown = shown.take(shown.hours >= self._learn_from_h)
        if len(shown):
            features = self.context.features(shown.user_ids, shown.item_ids, shown.hours)
            at = (shown.hours * HOUR_US).astype(np.int64)
            self.pending.note(shown.request_ids, shown.item_ids, at, features)
        learnt = np.flatnonzero(clicks.of.hours >= self._learn_from_h)
        of, at = clicks.of.take(learnt), (clicks.known_h[learnt] * HOUR_US).astype(np.int64)
        watched = np.rint(1e3 * clicks.watch_s[learnt]).astype(np.int64)
        every = np.ones(len(learnt), dtype=np.bool_)
        self.pending.act(of.request_ids, of.item_ids, at, every, watched)

    def _represented(self, features: Floats) -> Floats:
        if self._network is None:
            return features
        return np.asarray(self._network(features), dtype=np.float64)

    def _learn(self, features: Floats, rewards: Floats) -> None:
        if self.dials.neural:
            self._recent.append((features, rewards))
        self.statistics.add(self._represented(features), rewards)
        self._posterior = Posterior.of(self.statistics, ridge=self.dials.ridge)

    def _relearn(self, now_h: float) -> None:
        """A network of the latest events; statistics of an earlier one say nothing about it."""
        self._learn_at_h = now_h + self.dials.relearn_h
        if not self._recent:
            return
        features, rewards = (np.concatenate(part) for part in zip(*self._recent, strict=True))
        features, rewards = features[-LEARNT_FROM:], rewards[-LEARNT_FROM:]
        self._recent = [(features, rewards)]
        self._network = learn_network(features, rewards, seed=self._seed)
        self.statistics = statistics_of(self._network, features, rewards)
        self._posterior = Posterior.of(self.statistics, ridge=self.dials.ridge)


def _kept(
    floor: ExposureFloor, scores: Floats, protected: npt.NDArray[np.bool_], *, even: float
) -> Floats:
    """(R, C) chances with the price added; chance itself shows nothing that breaks the floor."""
    best = softened(floor.priced(scores, protected), temperature=0.0, even=0.0)
    drawn = np.stack([floor.may_draw(row) for row in protected]).astype(np.float64)
    chances: Floats = (1 - even) * best + even * drawn / drawn.sum(axis=1, keepdims=True)
    return chances
