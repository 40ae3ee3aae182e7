"""The world held against a real click log, open loop: is freshness worth the same in both?"""

from datetime import timedelta

import polars as pl

from recbench import columns as c
from recbench.datasets.simulator import events_of
from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.protocol import Asked, Feedback, Slates
from recbench.datasets.world.sampling import scored_slates
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World
from recbench.simulation.next_items import freshness_curve

__all__ = ["LIKE_A_SHOP", "SearchPolicy", "compared", "sessions"]

PAUSE = timedelta(minutes=30)
TICK_S = 900.0
FINDS = 6.0  # logits by which what a visitor is in the mood for comes first

# A shop's visitors find one kind of thing after another among many kinds; things stay for weeks.
# These dials were set by eye to the clicks of Yoochoose from its second day on.
LIKE_A_SHOP = WorldSettings(
    days=5.0,
    n_users=900,
    requests_per_user_day=30.0,
    slate=1,
    n_live=1_000,
    n_categories=100,
    item_half_life_h=500.0,
    appeal_sd=1.5,
    mood_gain=2.0,
    mood_h=1.0,
    social_gain=0.0,
)


class SearchPolicy:
    """Shows what users look for: the world's visitors find their way, nothing is learnt.

    It knows the mood of who asks, so it is no recommender; it makes logs of shops, in which a
    visitor clicks through things of one kind.
    """

    def __init__(self, world: World, *, seed: int) -> None:
        """``seed`` of what is found."""
        self.world, self.seed = world, seed

    def observe(self, feedback: Feedback) -> None:
        """Nothing to learn."""

    def slates(self, asked: Asked) -> Slates:
        """Mostly items of the category that each user is in the mood for, evenly."""
        mood = self.world.tastes.mood(asked.user_ids, asked.hours)
        fits = self.world.items.category[asked.item_ids][None, :] == mood[:, None]
        return scored_slates(asked, FINDS * fits, temperature=1.0, seed=self.seed)


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
    says whether the simulated gain lies within the real one's interval; null for the daily ones.

    Args:
        real: canonical clicks whose users are sessions, in order of time.
        settings: of the world.
        share: of each log before the first click that is asked for.
        seed: of the world.
    """
    there = freshness_curve(real, share=share, seed=seed)
    world = World.drawn(settings, seed=seed)
    shown = run(world, SearchPolicy(world, seed=seed), tick_s=TICK_S)
    here = freshness_curve(sessions(events_of(shown, world)), share=share, seed=seed)
    names = {"gain": "simulated", "low": "simulated_low", "high": "simulated_high"}
    simulated = here.rename(names).select("cadence", *names.values())
    within = pl.col("simulated").is_between(pl.col("low"), pl.col("high"))
    inside = pl.when(pl.col("low") < pl.col("high")).then(within)  # of the reference: neither
    return (
        there.rename({"gain": "real"})
        .select("cadence", "real", "low", "high")
        .join(simulated, on="cadence", how="left", maintain_order="left")
        .with_columns(inside=inside)
    )
