"""A cheap, honest learner: counters of items, and of users' categories, that forget.

Learning from a window of it takes about a millisecond, so that thousands of refreshes fit into a
minute. It is no network; what it has in common with one is what freshness is about: it knows only
what it was told.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.protocol import Clicks, Exposures, NewItems

__all__ = ["ItemRates", "Labels", "UserTastes", "logits"]

Labels = Literal["corrected", "naive", "weighted"]
N_FIRST = 20  # exposures of an item by which the rate of new items is known
PRIOR_ITEM = 20.0  # exposures that the rate of new items counts as
PRIOR_USER = 4.0  # exposures that "likes it as anybody does" counts as
LOGITS_A_RESIDUAL = 4.0  # the logistic rises by a quarter a logit at one half
LEAST_RATE = 0.01

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(slots=True, eq=False)
class ItemRates:
    """Positives and negatives of each item, counting half as much after each half-life.

    ``labels`` says how an exposure is counted whose click may still come:

    - ``corrected``: as a negative, until a click makes it a positive instead; a counter can take a
      count back, a network cannot.
    - ``naive``: as a negative, and the click, when it comes, as a positive besides: the rate tends
      to p / (1 + p).
    - ``weighted``: the same stream, positives weighing 1 + p and negatives (1 - p)(1 + p) with the
      rate p as it is: then it tends to p. Source: the fake-negative weighted loss of Ktena et al.,
      "Addressing delayed feedback for continuous training", RecSys 2019.
    """

    half_life_h: float
    labels: Labels = "corrected"
    categories: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    positives: Floats = field(default_factory=lambda: np.zeros(0))
    negatives: Floats = field(default_factory=lambda: np.zeros(0))
    n_shown: Floats = field(default_factory=lambda: np.zeros(0))  # never forgotten
    young: Floats = field(default_factory=lambda: np.ones(2))  # both, of items shown seldom
    at_h: float = 0.0

    def __len__(self) -> int:
        """Items that were met, and so can be shown."""
        return len(self.positives)

    def meet(self, new: NewItems) -> None:
        """Take new items in; their ids go on where those of the last ones ended."""
        nothing = np.zeros(len(new.item_ids))
        self.categories = np.concatenate([self.categories, new.categories])
        self.positives = np.concatenate([self.positives, nothing])
        self.negatives = np.concatenate([self.negatives, nothing])
        self.n_shown = np.concatenate([self.n_shown, nothing])

    def rates(self, items: Ints) -> Floats:
        """Click rates, those of new items where nothing is known; shape of ``items``."""
        held = np.minimum(items, len(self) - 1)
        met = items < len(self)
        positives = np.where(met, self.positives[held], 0.0)
        negatives = np.where(met, self.negatives[held], 0.0)
        prior = self.young[0] / self.young.sum()
        found = (positives + PRIOR_ITEM * prior) / (positives + negatives + PRIOR_ITEM)
        rates: Floats = np.clip(found, LEAST_RATE, 1 - LEAST_RATE)
        return rates

    def learn(self, shown: Exposures, clicks: Clicks, *, until_h: float) -> None:
        """Count what became known until ``until_h``; all of the items were met."""
        self._fade(until_h)
        weights = label_weights(self.labels, self.rates(shown.item_ids), is_click=False)
        self._add(self.negatives, 1, shown, weights)
        weights = label_weights(self.labels, self.rates(clicks.of.item_ids), is_click=True)
        self._add(self.positives, 0, clicks.of, weights)
        if self.labels == "corrected":
            self._add(self.negatives, 1, clicks.of, -weights)
        self.n_shown += np.bincount(shown.item_ids, minlength=len(self))

    def _fade(self, until_h: float) -> None:
        kept = 0.5 ** ((until_h - self.at_h) / self.half_life_h)
        self.positives *= kept
        self.negatives *= kept
        self.young *= kept
        self.at_h = until_h

    def _add(self, counts: Floats, which: int, of: Exposures, weights: Floats) -> None:
        weights = weights * 0.5 ** ((self.at_h - of.hours) / self.half_life_h)
        counts += np.bincount(of.item_ids, weights, len(self))
        self.young[which] += weights[self.n_shown[of.item_ids] < N_FIRST].sum()


@dataclass(slots=True, eq=False)
class UserTastes:
    """How much more each user clicks in each category than the items' rates say."""

    n_users: int
    n_categories: int
    half_life_h: float
    labels: Labels = "corrected"
    residuals: Floats = field(init=False)  # (U, K)
    weights: Floats = field(init=False)  # (U, K)
    at_h: float = 0.0

    def __post_init__(self) -> None:
        """Nobody is known yet."""
        self.residuals = np.zeros((self.n_users, self.n_categories))
        self.weights = np.zeros((self.n_users, self.n_categories))

    def liking(self, users: Ints) -> Floats:
        """(R, K) logits that a user adds to an item of the category."""
        shrunk: Floats = self.residuals[users] / (self.weights[users] + PRIOR_USER)
        return LOGITS_A_RESIDUAL * shrunk

    def learn(self, shown: Exposures, clicks: Clicks, *, items: ItemRates, until_h: float) -> None:
        """Count what became known until ``until_h``, beside the rates of ``items`` as they are."""
        kept = 0.5 ** ((until_h - self.at_h) / self.half_life_h)
        self.residuals *= kept
        self.weights *= kept
        self.at_h = until_h
        rates = items.rates(shown.item_ids)
        weights = label_weights(self.labels, rates, is_click=False)
        self._add(shown, items, residuals=-weights * rates, weights=weights)
        rates = items.rates(clicks.of.item_ids)
        weights = label_weights(self.labels, rates, is_click=True)
        if self.labels == "corrected":  # the exposure was counted, less its rate, when it came
            self._add(clicks.of, items, residuals=weights, weights=np.zeros_like(weights))
        else:
            self._add(clicks.of, items, residuals=weights * (1 - rates), weights=weights)

    def _add(self, of: Exposures, items: ItemRates, *, residuals: Floats, weights: Floats) -> None:
        fresh = 0.5 ** ((self.at_h - of.hours) / self.half_life_h)
        cells = of.user_ids * self.n_categories + items.categories[of.item_ids]
        shape, size = self.residuals.shape, self.residuals.size
        self.residuals += np.bincount(cells, residuals * fresh, size).reshape(shape)
        self.weights += np.bincount(cells, weights * fresh, size).reshape(shape)


def label_weights(labels: Labels, rates: Floats, *, is_click: bool) -> Floats:
    """What each exposure, or each click, counts as."""
    if labels != "weighted":
        return np.ones_like(rates)
    return 1 + rates if is_click else (1 - rates) * (1 + rates)


def logits(items: ItemRates, tastes: UserTastes, users: Ints, item_ids: Ints) -> Floats:
    """(R, N) log-odds of a click of each user on each of the items, all of which were met."""
    rates = items.rates(item_ids)
    of_users = np.take(tastes.liking(users), items.categories[item_ids], axis=1)
    found: Floats = np.log(rates / (1 - rates)) + of_users
    return found
