"""Slates drawn with known propensities: uniformly, or by scores."""

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.noise import keyed_uniforms
from recbench.datasets.world.protocol import Asked, Feedback, Slates
from recbench.errors import InputError

__all__ = ["UniformPolicy", "scored_slates", "uniform_slates"]

UNIFORM, RACE = 301, 302  # streams of keyed numbers
LEAST = 1e-300  # where nothing can be shown, to be refused below

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def uniform_slates(asked: Asked, *, seed: int) -> Slates:
    """Slates of items drawn evenly without replacement."""
    n, k = len(asked.item_ids), asked.slate
    requests, slots = asked.request_ids[:, None], np.arange(k)
    columns = (keyed_uniforms(seed, UNIFORM, requests, slots) * n).astype(np.int64)
    attempt, again = 0, _repeats(columns)
    while again.any():  # what was drawn before in the slate is drawn anew
        attempt += 1
        rows, slots_again = np.nonzero(again)
        drawn = keyed_uniforms(seed, UNIFORM, asked.request_ids[rows], slots_again + attempt * k)
        columns[rows, slots_again] = (drawn * n).astype(np.int64)
        touched = np.unique(rows)
        again = np.zeros_like(again)
        again[touched] = _repeats(columns[touched])
    propensities = np.broadcast_to(1.0 / (n - np.arange(k)), columns.shape)
    return Slates(asked.item_ids[columns], propensities)


def scored_slates(
    asked: Asked, scores: Floats, *, temperature: float, random_share: float = 0.0, seed: int
) -> Slates:
    """Slates drawn by Plackett and Luce: the weights are softmax(scores / temperature).

    Args:
        asked: R requests for N items.
        scores: (R, N), -inf for what must not be shown.
        temperature: > 0; near 0 the best come first, in order.
        random_share: of the weights that the other items share evenly, so that each has support.
        seed: of the policy; the draw is keyed by request and item.

    Raises:
        InputError: fewer items have a weight than a slate holds.
    """
    if temperature <= 0:
        raise InputError(f"`temperature` must be positive, got {temperature}")
    best = scores.max(axis=1, keepdims=True)
    weights = np.exp((scores - np.where(np.isfinite(best), best, 0.0)) / temperature)
    weights *= (1 - random_share) / np.maximum(weights.sum(axis=1, keepdims=True), LEAST)
    if random_share:
        can_be_shown = scores > -np.inf
        n_can = np.maximum(np.count_nonzero(can_be_shown, axis=1), 1)
        weights += can_be_shown * (random_share / n_can)[:, None]
    if (short := np.count_nonzero(weights > 0, axis=1) < asked.slate).any():
        raise InputError(
            f"{short.sum()} of {len(asked)} requests have fewer than {asked.slate} items with a "
            "chance; raise `temperature` or `random_share`"
        )
    # an exponential race: the item with the least time / weight comes first
    luck = keyed_uniforms(seed, RACE, asked.request_ids[:, None], asked.item_ids[None, :])
    with np.errstate(divide="ignore"):
        finish = -np.log(luck) / weights
    first = np.argpartition(finish, asked.slate - 1, axis=1)[:, : asked.slate]
    order = np.argsort(np.take_along_axis(finish, first, axis=1), axis=1, kind="stable")
    columns = np.take_along_axis(first, order, axis=1)
    chosen = np.take_along_axis(weights, columns, axis=1)
    taken = np.cumsum(chosen, axis=1) - chosen
    left = np.maximum(1.0 - taken, chosen)  # rounding: what is left holds what is taken next
    return Slates(asked.item_ids[columns], chosen / left)


class UniformPolicy:
    """Shows anything, evenly, and learns nothing: the log of random exposure."""

    def __init__(self, *, seed: int = 0) -> None:
        """``seed`` of what it draws."""
        self.seed = seed

    def observe(self, feedback: Feedback) -> None:
        """Nothing to learn."""

    def slates(self, asked: Asked) -> Slates:
        """As ``uniform_slates``."""
        return uniform_slates(asked, seed=self.seed)


def _repeats(columns: Ints) -> npt.NDArray[np.bool_]:
    """Where an item stands that stood earlier in the same row."""
    order = np.argsort(columns, axis=1, kind="stable")
    ordered = np.take_along_axis(columns, order, axis=1)
    repeated = np.zeros(columns.shape, dtype=bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return repeated
