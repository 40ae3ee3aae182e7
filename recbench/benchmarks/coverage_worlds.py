"""Small worlds for the study of intervals: logs by chance, truths by summing over everything."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from recbench.evaluation.off_policy import Feedback, TargetPolicy
from recbench.evaluation.off_policy.slates import SlateFeedback

__all__ = ["ListWorld", "RoundWorld"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
N_CONTEXTS, N_ACTIONS, RANDOM_SHARE = 100, 20, 0.3
N_LIST_ITEMS, SLOTS = 6, 3
ORDERS = np.array(list(permutations(range(N_LIST_ITEMS), SLOTS)))  # (O, K)


@dataclass(frozen=True, slots=True, eq=False)
class RoundWorld:
    """One action a round: clicks by context and action, a logging policy, two target policies."""

    clicks: Floats  # (X, A) chance of a click
    logging: Floats  # (X, A)
    targets: tuple[Floats, Floats]  # (X, A) each
    model: Floats  # (A,) a reward model that knows no context, and errs

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, never: int = 0) -> "RoundWorld":
        """A world; the log never shows ``never`` actions, and a target shows them in .1 to .4."""
        shape = (N_CONTEXTS, N_ACTIONS)
        clicks = 1 / (1 + np.exp(1.5 - rng.normal(size=shape)))
        possible = np.arange(N_ACTIONS) >= never
        logging = _mixed(rng.normal(size=shape), possible)
        wanted = (_mixed(4 * clicks, possible, share=0.0), _mixed(rng.normal(size=shape), possible))
        if never:
            unseen = rng.uniform(0.1, 0.4)
            wanted = tuple((1 - unseen) * one + unseen * ~possible / never for one in wanted)  # type: ignore[assignment]  # as many as there were
        model = np.clip(clicks.mean(axis=0) + rng.normal(scale=0.1, size=N_ACTIONS), 0, 1)
        return cls(clicks, logging, wanted, model)

    @property
    def truths(self) -> list[float]:
        """What each target earns a round."""
        return [float((target * self.clicks).sum(axis=1).mean()) for target in self.targets]

    def log(self, n: int, rng: np.random.Generator) -> tuple[Feedback, list[TargetPolicy]]:
        """A log of n rounds, and the targets at its rows."""
        context = rng.integers(0, N_CONTEXTS, size=n)
        action = _drawn(self.logging[context], rng)
        rewards = (rng.random(n) < self.clicks[context, action]).astype(np.float64)
        feedback = Feedback.of_rounds(
            rewards,
            self.logging[context, action],
            least_propensity=float(self.logging[self.logging > 0].min()),
        )
        expected = np.broadcast_to(self.model, (n, N_ACTIONS))
        return feedback, [
            TargetPolicy.of_dense(target[context], action, expected=expected)
            for target in self.targets
        ]


@dataclass(frozen=True, slots=True, eq=False)
class ListWorld:
    """Lists of three of six items; a click depends on the item, and perhaps on the one above it."""

    appeal: Floats  # (X, I)
    logging: Floats  # (X, I) weights of drawing without replacement
    target: Floats  # (X, I)
    reads_down: bool  # whether what stands above takes clicks away

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, reads_down: bool) -> "ListWorld":
        """A world."""
        shape, every = (N_CONTEXTS, N_LIST_ITEMS), np.ones(N_LIST_ITEMS, dtype=np.bool_)
        appeal = rng.uniform(0.1, 0.7, size=shape)
        logging, target = (_mixed(rng.normal(size=shape), every) for _ in range(2))
        return cls(appeal, logging, target, reads_down)

    @property
    def truth(self) -> float:
        """Clicks a list of the target."""
        return float((_cascades(self.target)[:, :, -1] * self._clicks().sum(axis=2)).sum(1).mean())

    def log(self, n: int, rng: np.random.Generator) -> tuple[SlateFeedback, Floats, Floats]:
        """A log of n lists; a model's reward of each slot, and its mean under the target there."""
        cascades = [_cascades(weights) for weights in (self.logging, self.target)]
        slots = [_by_slot(one[:, :, -1]) for one in cascades]
        context = rng.integers(0, N_CONTEXTS, size=n)
        order = _drawn(cascades[0][context, :, -1], rng)
        items = ORDERS[order]  # (n, K)
        rewards = (rng.random((n, SLOTS)) < self._clicks()[context, order]).astype(np.float64)
        at = context[:, None], np.arange(SLOTS), items
        slates = SlateFeedback(
            rewards=rewards,
            logging_slot=np.minimum(slots[0][at], 1.0),
            logging_cascade=cascades[0][context, order],
            target_slot=np.minimum(slots[1][at], 1.0),
            target_cascade=cascades[1][context, order],
        )
        model = self.appeal.mean(axis=0)
        return slates, model[items], self._expected(context, items, model)

    def _clicks(self) -> Floats:
        """(X, O, K) chance of a click in each slot of each list."""
        appeal = self.appeal[:, ORDERS]
        if not self.reads_down:
            by_slot: Floats = appeal * np.array([1.0, 0.7, 0.5])
            return by_slot
        above = np.concatenate([np.zeros_like(appeal[:, :, :1]), appeal[:, :, :-1]], axis=2)
        clicks: Floats = appeal * (1 - above)
        return clicks

    def _expected(self, context: Ints, items: Ints, model: Floats) -> Floats:
        """(n, K) mean of the model over what the target may show below what is there."""
        weights = self.target[context].copy()
        means = np.empty(items.shape)
        for slot in range(SLOTS):
            means[:, slot] = weights @ model / weights.sum(axis=1)
            weights[np.arange(len(items)), items[:, slot]] = 0.0
        return means


def _mixed(logits: Floats, possible: npt.NDArray[np.bool_], share: float = RANDOM_SHARE) -> Floats:
    weights = np.exp(logits) * possible
    own = weights / weights.sum(axis=1, keepdims=True)
    mixed: Floats = (1 - share) * own + share * possible / possible.sum()
    return mixed


def _drawn(chances: Floats, rng: np.random.Generator) -> Ints:
    """(n,) a column of each row."""
    below = np.cumsum(chances, axis=1)[:, :-1] < rng.random((len(chances), 1))
    columns: Ints = below.sum(axis=1)
    return columns


def _cascades(weights: Floats) -> Floats:
    """(X, O, K) chance of each list down to each slot, drawing without replacement."""
    drawn = weights[:, ORDERS]  # (X, O, K)
    left = weights.sum(axis=1)[:, None, None] - np.cumsum(drawn, axis=2) + drawn
    return np.cumprod(drawn / left, axis=2)


def _by_slot(chances: Floats) -> Floats:
    """(X, K, I) chance of each item in each slot, of the chances (X, O) of lists."""
    found = np.zeros((len(chances), SLOTS, N_LIST_ITEMS))
    for slot in range(SLOTS):
        for item in range(N_LIST_ITEMS):
            found[:, slot, item] = chances[:, ORDERS[:, slot] == item].sum(axis=1)
    return found
