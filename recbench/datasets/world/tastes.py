"""Interests that drift, and moods that jump from category to category."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.noise import keyed_uniforms
from recbench.datasets.world.settings import WorldSettings

__all__ = ["Tastes"]

N_WAVES = 8  # of which a taste is the sum
FASTEST = 1_000.0  # in units of the rate of forgetting; bounds the rounding of phases
MOODS = 103  # stream of keyed numbers

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Tastes:
    """What each user likes at any time, as a function of time: nothing is stepped through.

    A taste is a sum of waves with Cauchy-distributed frequencies, so that its correlation with
    itself after ``h`` hours is, over users, ``2 ** -(h / half_life)``: a Gaussian process that
    forgets at a steady rate (random Fourier features, Rahimi and Recht, NeurIPS 2007).
    """

    frequencies: npt.NDArray[np.float32]  # (U, K, waves) radians an hour
    phases: npt.NDArray[np.float32]  # (U, K, waves)
    mood_phases: Floats  # (U,) in [0, 1)
    mood_reached: Floats  # (K,) cumulated shares of categories in moods
    mood_h: float
    seed: int

    @classmethod
    def drawn(cls, settings: WorldSettings, *, seed: int) -> Self:
        """Of all users of the world."""
        rng = np.random.default_rng([seed, 1])
        shape = (settings.n_users, settings.n_categories, N_WAVES)
        rate = np.log(2.0) / settings.taste_half_life_h
        cauchy = np.clip(np.tan(np.pi * (rng.random(shape) - 0.5)), -FASTEST, FASTEST)
        return cls(
            (rate * cauchy).astype(np.float32),
            (2 * np.pi * rng.random(shape)).astype(np.float32),
            rng.random(settings.n_users),
            _mood_reached(settings, seed=seed),
            settings.mood_h,
            seed,
        )

    def liking(self, users: Ints, categories: Ints, hours: Floats) -> Floats:
        """Standard normal over users; the arguments broadcast, ``hours`` since the beginning."""
        users, categories, hours = np.broadcast_arrays(users, categories, hours)
        angle = self.frequencies[users, categories] * hours[..., None]
        angle += self.phases[users, categories]
        liking: Floats = np.cos(angle).sum(axis=-1) * np.sqrt(2.0 / N_WAVES)
        return liking

    def mood(self, users: Ints, hours: Floats) -> Ints:
        """The category each user is in the mood for; it jumps every ``mood_h`` hours."""
        turn = np.floor(hours / self.mood_h + self.mood_phases[users]).astype(np.int64)
        chosen = keyed_uniforms(self.seed, MOODS, users, turn)
        return np.searchsorted(self.mood_reached, chosen, side="right").astype(np.int64)


def _mood_reached(settings: WorldSettings, *, seed: int) -> Floats:
    rng = np.random.default_rng([seed, 6])
    often = np.exp(settings.mood_sd * rng.standard_normal(settings.n_categories))
    reached: Floats = np.cumsum(often) / often.sum()
    reached[-1] = 1.0  # rounding
    return reached
