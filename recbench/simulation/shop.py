"""A shop in the simulated world: visitors choose what they click, and come back to it."""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import ndtri

from recbench import columns as c
from recbench.datasets.simulator import events_of
from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.noise import keyed_uniforms
from recbench.datasets.world.protocol import Asked, Feedback, Slates
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World
from recbench.errors import InputError

__all__ = ["LIKE_A_SHOP", "Habits", "VisitorPolicy", "sessions", "shop_clicks"]

PAUSE = timedelta(minutes=30)
PAUSE_H = PAUSE / timedelta(hours=1)
CHOICES, VISITS = 402, 403  # streams of keyed numbers
TICK_S = 15.0  # a visitor's last click is known at the next one, unless that follows sooner

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Habits:
    """How visitors of a shop come back to what they clicked before in the same visit.

    That they do, and the later the click the likelier, with a chance that falls as a power of how
    long ago it was: Anderson et al., "The dynamics of repeat consumption", WWW 2014. On this log
    and others: Ren et al., "RepeatNet", AAAI 2019.

    Visits differ in it, and the odds grow as a power of the clicks so far: who looked at two
    things in turn for a quarter of an hour goes on so, and takes again the very steps that counters
    have just been taught. All values are those that make the next clicks of Yoochoose's first 40 %
    likeliest, whether they go back (logits that are normal over visits) and to what.
    """

    returns: float = 0.245  # chance that the second click of a usual visit is on the same item
    returns_after_break: float = 0.346  # the same, if the last click is longer ago than the break
    break_h: float = 0.25
    spread: float = 1.21  # of the logits of that chance among visits
    growth: float = 0.48  # its odds after n clicks are n ** growth times those after one
    recency: float = 0.95  # what was last clicked n clicks ago is gone back to by n ** -recency

    def chance(self, n_clicks: int, *, late: bool, luck: float) -> float:
        """That the next click goes back.

        Args:
            n_clicks: of the visit so far, at least one.
            late: whether the last one is longer ago than the break.
            luck: of the visit, uniform in (0, 1).
        """
        usual = self.returns_after_break if late else self.returns
        more = n_clicks**self.growth * np.exp(self.spread * ndtri(luck))
        return float(usual * more / (1 - usual + usual * more))


# Set by the traits of Yoochoose's clicks before the first test, the first 40 %
LIKE_A_SHOP = WorldSettings(
    days=5.0,
    n_users=4_000,
    requests_per_user_day=3.65,
    slate=1,
    session_requests=2.31,
    session_sd=0.45,
    request_gap_s=94.0,
    gap_sd=1.09,
    peak_hour=12.6,
    rhythm=0.72,
    n_live=5_500,
    n_categories=70,
    item_half_life_h=380.0,
    base_logit=10.0,
    user_sd=0.0,
    appeal_sd=1.7,
    mood_gain=7.5,
    mood_sd=0.85,
    mood_h=1.0,
    social_gain=0.0,
)


@dataclass(slots=True)
class _Visit:
    last_h: float
    luck: float  # how readily it goes back, uniform in (0, 1)
    clicked: list[int] = field(default_factory=list)
    clicked_h: float = 0.0


class VisitorPolicy:
    """Shows what visitors look for: nothing is recommended, and nothing is learnt.

    A visitor goes back, or chooses among all the rest with the world's own odds. It knows tastes
    and moods, so it is no recommender; it makes logs of shops, in which a click is a view.
    """

    def __init__(self, world: World, habits: Habits, *, seed: int) -> None:
        """``seed`` of what is chosen."""
        self.world, self.habits, self.seed = world, habits, seed
        self._visits: dict[int, _Visit] = {}

    def observe(self, feedback: Feedback) -> None:
        """Visitors remember what they clicked."""
        of = feedback.clicks.of
        for user, item, hour in zip(of.user_ids, of.item_ids, of.hours, strict=True):
            visit = self._visits[int(user)]
            visit.clicked.append(int(item))
            visit.clicked_h = float(hour)

    def slates(self, asked: Asked) -> Slates:
        """One choice a request.

        Raises:
            InputError: more than one item is asked for.
        """
        if asked.slate != 1:
            raise InputError(f"A visitor chooses one item a request, got a slate of {asked.slate}")
        appeal, likings = self._odds(asked)
        luck = keyed_uniforms(self.seed, CHOICES, asked.request_ids)
        lucks = keyed_uniforms(self.seed, VISITS, asked.request_ids)
        chosen = Slates.empty(asked)
        for row, (user, hour) in enumerate(zip(asked.user_ids, asked.hours, strict=True)):
            visit = self._visit(int(user), float(hour), lucks[row])
            back = self._back(visit, asked.item_ids)
            chances = np.where(back > 0, 0.0, appeal * likings[row])
            chances /= chances.sum()
            if back.any():
                late = hour - visit.clicked_h > self.habits.break_h
                n_clicks = len(visit.clicked)
                share = self.habits.chance(n_clicks, late=late, luck=visit.luck)
                chances = (1 - share) * chances + share * back / back.sum()
            reached = np.cumsum(chances)
            column = np.searchsorted(reached, luck[row] * reached[-1])
            chosen.item_ids[row] = asked.item_ids[column]
            chosen.propensities[row] = chances[column]
        return chosen

    def _odds(self, asked: Asked) -> tuple[Floats, Floats]:
        """(N,) odds of items and (R, N) what their kinds add, but for what is the same of all."""
        s, tastes, items = self.world.settings, self.world.tastes, self.world.items
        appeal = np.exp(items.attraction(asked.item_ids, asked.hours[:1]))
        users, hours = asked.user_ids[:, None], asked.hours[:, None]
        kinds = np.arange(s.n_categories)[None, :]
        logits = s.taste_gain * tastes.liking(users, kinds, hours)
        logits += s.mood_gain * (tastes.mood(users, hours) == kinds)
        likings: Floats = np.exp(logits)[:, items.category[asked.item_ids]]
        return appeal, likings

    def _visit(self, user: int, hour: float, luck: float) -> _Visit:
        visit = self._visits.get(user)
        if visit is None or hour - visit.last_h > PAUSE_H:
            visit = self._visits[user] = _Visit(hour, luck)
        visit.last_h = hour
        return visit

    def _back(self, visit: _Visit, item_ids: Ints) -> Floats:
        """(N,) weights of what was clicked in the visit and is there still."""
        weights = np.zeros(len(item_ids))
        for ago, item in enumerate(reversed(visit.clicked), start=1):
            at = np.searchsorted(item_ids, item)
            if at < len(item_ids) and item_ids[at] == item:
                weights[at] = max(weights[at], ago**-self.habits.recency)  # the last click counts
        return weights


def sessions(events: pl.DataFrame) -> pl.DataFrame:
    """The clicks of a log with sessions as users: a pause of 30 minutes begins a new one."""
    clicks = events.filter(pl.col(c.CLICKED)).sort(c.TS, maintain_order=True)
    begins = (pl.col(c.TS).diff().over(c.USER_ID) > PAUSE).fill_null(value=True)
    session = pl.struct(c.USER_ID, begins.cum_sum().over(c.USER_ID).alias("nth"))
    return clicks.with_columns(session.rank("dense").cast(pl.Int64).alias(c.USER_ID))


def shop_clicks(settings: WorldSettings, habits: Habits, *, seed: int) -> pl.DataFrame:
    """Clicks in sessions of at least two, as logs of shops are published, in order of time."""
    world = World.drawn(settings, seed=seed)
    shown = run(world, VisitorPolicy(world, habits, seed=seed), tick_s=TICK_S)
    return sessions(events_of(shown, world)).filter(pl.len().over(c.USER_ID) > 1)
