"""Items are born, some go viral, all fade and die."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.settings import WorldSettings

__all__ = ["Items"]

LIVES = 6.0  # an item is taken down after so many of its half-lives
VIRAL_LASTS = 0.25  # of its half-life: how fast a viral item rises and falls

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """All items of the world in order of birth; the row is the outside id."""

    born_h: Floats  # (I,) hours since the beginning, below 0 for those that were there before
    half_life_h: Floats  # (I,)
    category: Ints  # (I,)
    appeal: Floats  # (I,) logits at birth
    viral_h: Floats  # (I,) when it peaks; inf for most
    duration_s: Floats  # (I,)
    viral_gain: float

    @classmethod
    def drawn(cls, settings: WorldSettings, *, seed: int) -> Self:
        """Born at an even rate that keeps ``n_live`` alive, from before the beginning on."""
        rng = np.random.default_rng([seed, 2])
        longest_h = LIVES * settings.item_half_life_h * np.exp(3 * settings.item_spread)
        mean_life_h = LIVES * settings.item_half_life_h * np.exp(settings.item_spread**2 / 2)
        span_h = longest_h + 24 * settings.days
        n = max(2 * settings.slate, round(settings.n_live / mean_life_h * span_h))
        born_h = np.sort(rng.uniform(-longest_h, 24 * settings.days, n))
        spread = np.clip(rng.standard_normal(n), -3, 3) * settings.item_spread
        half_life_h = settings.item_half_life_h * np.exp(spread)
        share = np.exp(0.5 * rng.standard_normal(settings.n_categories))
        takes_off = rng.random(n) < settings.viral_share
        return cls(
            born_h,
            half_life_h,
            rng.choice(settings.n_categories, n, p=share / share.sum()),
            settings.appeal_sd * rng.standard_normal(n),
            np.where(takes_off, born_h + rng.exponential(half_life_h), np.inf),
            settings.duration_median_s * np.exp(settings.duration_sd * rng.standard_normal(n)),
            settings.viral_gain,
        )

    def __len__(self) -> int:
        """How many there ever are."""
        return len(self.born_h)

    def alive(self, hour: float) -> Ints:
        """Rows of what can be shown: born before ``hour``, not yet taken down; ascending."""
        n_born = int(np.searchsorted(self.born_h, hour, side="left"))
        age = hour - self.born_h[:n_born]
        return np.flatnonzero(age < LIVES * self.half_life_h[:n_born])

    def attraction(self, items: Ints, hours: Floats) -> Floats:
        """Logits of items at times, without anybody's taste: appeal, age and virality."""
        fading = np.log(2.0) * (hours - self.born_h[items]) / self.half_life_h[items]
        away = (hours - self.viral_h[items]) / (VIRAL_LASTS * self.half_life_h[items])
        logits: Floats = self.appeal[items] - fading + self.viral_gain * np.exp(-0.5 * away**2)
        return logits
