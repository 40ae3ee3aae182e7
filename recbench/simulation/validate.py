"""The world held against a real click log, open loop: is freshness worth the same in both?"""

from dataclasses import replace
from datetime import timedelta

import polars as pl

from recbench import columns as c
from recbench.datasets.simulator import simulated_log
from recbench.datasets.world.settings import WorldSettings
from recbench.simulation.next_items import freshness_curve

__all__ = ["LIKE_A_SHOP", "compared", "sessions"]

PAUSE = timedelta(minutes=30)

# One item a request, shown evenly, so that clicks follow tastes and not a policy; the half-life of
# items and the spread of their appeal are fitted to the first days of Yoochoose's clicks
LIKE_A_SHOP = WorldSettings(
    days=5.0,
    n_users=1_100,
    slate=1,
    n_live=300,
    item_half_life_h=192.0,
    appeal_sd=2.0,
    social_gain=0.0,
)


def sessions(events: pl.DataFrame) -> pl.DataFrame:
    """The clicks of a log with sessions as users: a pause of 30 minutes begins a new one."""
    clicks = events.filter(pl.col(c.CLICKED)).sort(c.TS, maintain_order=True)
    begins = (pl.col(c.TS).diff().over(c.USER_ID) > PAUSE).fill_null(value=True)
    session = pl.struct(c.USER_ID, begins.cum_sum().over(c.USER_ID).alias("nth"))
    return clicks.with_columns(session.rank("dense").cast(pl.Int64).alias(c.USER_ID))


def compared(
    real: pl.DataFrame, settings: WorldSettings = LIKE_A_SHOP, *, share: float, seed: int
) -> pl.DataFrame:
    """``cadence, real, low, high, simulated, simulated_low, simulated_high, inside``.

    Gains of next-item counters over daily ones, relative, with intervals over sessions; ``inside``
    says whether the simulated gain lies within the real one's interval.

    Args:
        real: canonical clicks whose users are sessions.
        settings: of the world.
        share: of each log before the first click that is asked for.
        seed: of the world.
    """
    world = replace(settings, label_delay_s=0.0)
    there = freshness_curve(real, share=share, seed=seed)
    events, _ = simulated_log(world, seed=seed)
    here = freshness_curve(sessions(events), share=share, seed=seed)
    names = {"gain": "simulated", "low": "simulated_low", "high": "simulated_high"}
    simulated = here.rename(names).select("cadence", *names.values())
    return (
        there.rename({"gain": "real"})
        .select("cadence", "real", "low", "high")
        .join(simulated, on="cadence", how="left", maintain_order="left")
        .with_columns(inside=pl.col("simulated").is_between(pl.col("low"), pl.col("high")))
    )
