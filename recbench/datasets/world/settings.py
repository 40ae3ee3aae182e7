"""The dials of the world, and the published statistics that they are set by."""

from dataclasses import dataclass

from recbench.errors import InputError

__all__ = ["PUBLISHED", "Published", "WorldSettings"]

KUAIRAND = (
    "Gao et al., KuaiRand, CIKM 2022; table of the versions and description of the fields "
    "in the README of github.com/chongminggao/KuaiRand"
)


@dataclass(frozen=True, slots=True)
class Published:
    """One statistic of a real short-video log, and the dials that follow it."""

    statistic: str
    value: float
    dials: str
    source: str


PUBLISHED = {
    "impressions_per_user_day": Published(
        "impressions a user and day: 322,278,385 of 27,285 users in 31 days",
        322_278_385 / 27_285 / 31,
        "requests_per_user_day x slate",
        KUAIRAND,
    ),
    "valid_play_s": Published(
        "a click is a play of more than 7 s, or of all of a video of at most 7 s",
        7.0,
        "valid_play_s",
        KUAIRAND,
    ),
    "random_share": Published(
        "share of impressions that are replaced by a random video",
        0.0037,
        "random_share",
        KUAIRAND,
    ),
    "click_rate": Published(
        "click = 0 and click = 1 are about 1 : 1 in recommended impressions",
        0.5,
        "base_logit, for a policy that has learnt",
        "KuaiSAR, description of rec_inter.csv, kuaisar.github.io/detailed_statistics.html",
    ),
    "peak_hour": Published(
        "the hour of the day with the most activity, local time",
        20.0,
        "peak_hour",
        "Kuaishou, content report of 2019, as quoted by Campaign China, 2020",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldSettings:
    """What the world is like; ``PUBLISHED`` says which dials follow a real log.

    No source gives half-lives of tastes and videos, or delays of labels, in short-video logs: these
    are what experiments vary. That an item's appeal is log-normal in the odds follows Ito and
    Shimada, "Power-law distributions in an online video-sharing system", Artificial Life and
    Robotics 2025 (views of 90 % of Niconico's videos are); they find that views fade as a power of
    age, where an exponential with a dial of its own stands here. That attention falls as a power of
    the position follows Jeunen, "A probabilistic position bias model for short-video
    recommendation feeds", RecSys 2023; the exponent is free.

    Nobody tires of an item that is shown again: what users saw is for policies to leave out.
    """

    days: float = 2.0  # how long the world lasts
    n_users: int = 1_000
    n_live: int = 1_000  # items alive at a time, in the mean
    n_categories: int = 31
    slate: int = 10  # items of a request
    requests_per_user_day: float = 38.1  # KuaiRand's 381 impressions, ten a request
    activity_sd: float = 0.8  # of the log of how often a user comes
    session_requests: float = 6.0  # requests that follow each other, in the mean
    session_sd: float = 0.0  # of the log of how long sessions are meant to be
    request_gap_s: float = 90.0  # between them, in the mean
    gap_sd: float | None = None  # of the log of gaps; None: exponential ones
    peak_hour: float = 20.0
    rhythm: float = 0.7  # in [0, 1): amplitude of the day

    base_logit: float = -0.6
    user_sd: float = 0.4  # of how readily users click, in logits
    taste_gain: float = 1.0  # logits a standard deviation of taste
    taste_half_life_h: float = 24.0  # after it a taste agrees with what it was by half
    mood_gain: float = 0.8  # logits of the one category a user is in the mood for
    mood_sd: float = 0.0  # of the log of how often categories are what users are in the mood for
    mood_h: float = 2.0  # how long a mood lasts, then it jumps to another category

    item_half_life_h: float = 24.0  # an item's odds halve in it
    item_spread: float = 0.5  # of the log of half-lives among items
    appeal_sd: float = 0.8  # of the log-odds of items
    viral_share: float = 0.03  # of items, which take off some time after they are born
    viral_gain: float = 2.0  # logits at the peak
    social_gain: float = 0.1  # logits for e-fold more clicks of late, shown as a counter
    attention: float = 0.1  # the item at position p is looked at with (p + 1) ** -attention

    valid_play_s: float = 7.0
    duration_median_s: float = 25.0
    duration_sd: float = 0.8  # of the log
    label_delay_s: float = 0.0  # mean of the exponential time until a click is known

    def __post_init__(self) -> None:
        """Refuse a world that cannot be."""
        for name in ("days", "taste_half_life_h", "item_half_life_h", "mood_h", "n_users"):
            if getattr(self, name) <= 0:
                raise InputError(f"`{name}` must be positive, got {getattr(self, name)}")
        if not 0 < self.slate <= self.n_live // 2:
            raise InputError(
                f"`slate` must be at least 1 and at most half of `n_live`, got {self.slate} of "
                f"{self.n_live}"
            )
        if not 0 <= self.rhythm < 1:
            raise InputError(f"`rhythm` must be in [0, 1), got {self.rhythm}")
        if self.n_categories < 2:
            raise InputError(f"`n_categories` must be at least 2, got {self.n_categories}")
        for name in ("label_delay_s", "session_sd", "gap_sd", "mood_sd"):
            if (getattr(self, name) or 0.0) < 0:
                raise InputError(f"`{name}` must not be negative, got {getattr(self, name)}")
