"""The world held against a real click log, open loop: is freshness worth the same in both?

The shop's dials are set by ``traits`` of the clicks before the cut. What is compared, the gain of
fresher counters, is measured on those after it, which no dial was set by.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.datasets.world.settings import WorldSettings
from recbench.errors import InputError
from recbench.simulation.effects import mean_over_seeds
from recbench.simulation.next_items import CADENCES, freshness_curve, hits
from recbench.simulation.shop import LIKE_A_SHOP, Habits, shop_clicks
from recbench.simulation.traits import traits

__all__ = ["AGAINST", "compared"]

AGAINST = "1 d"


def compared(
    real: pl.DataFrame,
    settings: WorldSettings = LIKE_A_SHOP,
    habits: Habits | None = None,
    *,
    share: float,
    seeds: Sequence[int],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two tables: the gains by cadence after the cut, and the traits before it.

    ``cadence, real, low, high, simulated, simulated_low, simulated_high, inside``: gains of
    next-item counters over daily ones, relative. The real one's interval is over sessions, the
    simulated one's over worlds; ``inside`` says whether the mean of the worlds lies within the real
    one's interval; null for the daily ones. ``trait, real, simulated``: see ``traits``.

    Args:
        real: canonical clicks whose users are sessions, in order of time.
        settings: of the worlds.
        habits: of visitors.
        share: of each log before the first click that is asked for.
        seeds: of the worlds, at least two.

    Raises:
        InputError: fewer than two seeds.
    """
    if len(seeds) < 2:
        raise InputError(f"`seeds` must name at least 2 worlds, got {len(seeds)}")
    there = freshness_curve(real, share=share, against=AGAINST)
    gains, found = [], []
    for seed in seeds:
        clicks = shop_clicks(settings, habits or Habits(), seed=seed)
        gains.append(_gains(clicks, share=share))
        found.append(traits(_before(clicks, share)))
    return _judged(there, np.stack(gains)), _beside(traits(_before(real, share)), found)


def _gains(clicks: pl.DataFrame, *, share: float) -> "np.typing.NDArray[np.float64]":
    """(cadences,) relative to the daily ones."""
    rates = {name: hits(clicks, share=share, every=every) for name, every in CADENCES.items()}
    means = np.array([found["hit"].mean() for found in rates.values()])
    gains: np.typing.NDArray[np.float64] = means / means[list(CADENCES).index(AGAINST)] - 1
    return gains


def _before(clicks: pl.DataFrame, share: float) -> pl.DataFrame:
    if c.CLICKED in clicks.columns:
        clicks = clicks.filter(pl.col(c.CLICKED))
    return clicks[: int(share * len(clicks))]


def _judged(there: pl.DataFrame, gains: "np.typing.NDArray[np.float64]") -> pl.DataFrame:
    over = [mean_over_seeds(column) for column in gains.T]
    simulated = pl.DataFrame(
        {
            "cadence": list(CADENCES),
            "simulated": [one.value for one in over],
            "simulated_low": [one.low for one in over],
            "simulated_high": [one.high for one in over],
        }
    )
    within = pl.col("simulated").is_between(pl.col("low"), pl.col("high"))
    return (
        there.select("cadence", pl.col("gain").alias("real"), "low", "high")
        .join(simulated, on="cadence", how="left", maintain_order="left")
        .with_columns(inside=pl.when(pl.col("cadence") != AGAINST).then(within))
    )


def _beside(real: dict[str, float], found: list[dict[str, float]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "trait": list(real),
            "real": [float(value) for value in real.values()],
            "simulated": [float(np.mean([one[name] for one in found])) for name in real],
        }
    )
