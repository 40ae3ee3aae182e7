"""How candidates are scored by what was learnt: greedily, with a bonus, or by a draw.

Scores of these are made by rule (a draw of coefficients is one): what is shown by them has no
propensity until `epsilon_list` or `explored` leaves something to chance.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.policy.statistics import Posterior

__all__ = ["Chosen", "Rule", "epsilon_list", "scores_of"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Rule = Literal["greedy", "ucb", "thompson"]


class Chosen(NamedTuple):
    """A list of K candidates."""

    places: Ints  # (K,)
    propensities: Floats  # (K,) given those above, and the scores


def scores_of(
    posterior: Posterior,
    features: npt.NDArray[np.floating],
    rule: Rule,
    *,
    scale: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Floats:
    """(C,) scores of candidates.

    Args:
        posterior: of the coefficients.
        features: (C, d).
        rule: ``greedy``: the mean; ``ucb``: and ``scale`` standard deviations (LinUCB);
            ``thompson``: by coefficients that are drawn, with noise of ``scale``.
        scale: not negative.
        rng: of the draw.

    Raises:
        InputError: another rule, a negative scale, or no ``rng`` where one is needed.

    Source: Li et al., "A contextual-bandit approach to personalized news article recommendation",
    WWW 2010; Agrawal and Goyal, "Thompson sampling for contextual bandits with linear payoffs",
    ICML 2013.
    """
    if not scale >= 0:
        raise InputError(f"`scale` must not be negative, got {scale}")
    if rule == "greedy":
        return posterior.expected(features)
    if rule == "ucb":
        return posterior.expected(features) + scale * posterior.spread(features)
    if rule != "thompson":
        raise InputError(f"`rule` must be greedy, ucb or thompson, got {rule!r}")
    if rng is None:
        raise InputError("`thompson` draws: give `rng`")
    scores: Floats = features @ posterior.sampled(scale, rng)
    return scores


def epsilon_list(scores: Floats, k: int, *, epsilon: float, rng: np.random.Generator) -> Chosen:
    """A list each of whose slots is, with chance ``epsilon``, any candidate left, else the best.

    A propensity is 1 - epsilon (if it is the best of those left) plus epsilon over their number. It
    holds given the scores, so with scores that were drawn, estimates are right, too.

    Args:
        scores: (C,) of candidates.
        k: at most C.
        epsilon: in (0, 1]; 0 would leave nothing to chance, so there are no propensities.
        rng: of the draw.

    Raises:
        InputError: ``epsilon`` or ``k`` is outside its range.
    """
    if not 0 < epsilon <= 1:
        raise InputError(f"`epsilon` must lie in (0, 1], got {epsilon}")
    if not 0 < k <= len(scores):
        raise InputError(f"`k` must lie in [1, {len(scores)}], got {k}")
    order = np.argsort(-scores, kind="stable").tolist()
    n, places, chances = len(order), [], []
    at_random = (rng.random(k) < epsilon).tolist()
    luck = rng.random(k).tolist()
    for slot in range(k):
        left = n - slot
        place = int(luck[slot] * left) if at_random[slot] else 0
        chances.append(epsilon / left + (0.0 if place else 1 - epsilon))
        places.append(order.pop(place))
    return Chosen(np.array(places), np.array(chances))
