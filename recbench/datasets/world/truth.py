"""The world itself: what any user would do with any item at any time and place, exactly."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.births import Items
from recbench.datasets.world.noise import keyed_uniforms
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.tastes import Tastes
from recbench.datasets.world.traffic import Traffic

__all__ = ["Outcomes", "Truth", "World"]

CLICKS, WATCHED, DELAYS = 201, 202, 203  # streams of keyed numbers
LIKED_IS_WATCHED = 0.5  # logits of the watched share a logit of liking

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is expected of each showing; no policy is told."""

    click_probability: Floats
    expected_watch_s: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What came of each showing, and the truth that it was drawn from."""

    clicked: npt.NDArray[np.bool_]
    watch_s: Floats
    delay_s: Floats  # from the showing until a click is known; 0 without one
    truth: Truth


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Users, items and traffic of one seed; whoever asks, it answers the same.

    A showing at position p is looked at with chance ``(p + 1) ** -attention``; what is looked at
    is clicked with the logistic of the sum of: how readily the user clicks, their taste for the
    item's category, their mood, the item's appeal, age and virality, and its counter of clicks. A
    click is a play of more than ``valid_play_s`` (or of the whole video); how far it goes on from
    there grows with the same sum.
    """

    settings: WorldSettings
    seed: int
    tastes: Tastes
    items: Items
    traffic: Traffic
    readiness: Floats  # (U,) logits

    @classmethod
    def drawn(cls, settings: WorldSettings, *, seed: int) -> Self:
        """The world of a seed."""
        rng = np.random.default_rng([seed, 4])
        return cls(
            settings,
            seed,
            Tastes.drawn(settings, seed=seed),
            Items.drawn(settings, seed=seed),
            Traffic.drawn(settings, seed=seed),
            settings.user_sd * rng.standard_normal(settings.n_users),
        )

    def truth(
        self,
        users: Ints,
        items: Ints,
        hours: Floats,
        positions: Ints | int = 0,
        clicks_of_late: Floats | float = 0.0,
    ) -> Truth:
        """Click probability and expected watch time; the arguments broadcast.

        Args:
            users: ids.
            items: ids.
            hours: since the beginning.
            positions: 0 is shown first.
            clicks_of_late: the counter of the item at that time, see ``closed_loop.run``.
        """
        wanted = self._wanted(users, items, hours, clicks_of_late)
        return self._expected(items, wanted, positions)

    def outcomes(
        self,
        request_ids: Ints,
        items: Ints,
        positions: Ints,
        clicks_of_late: Floats,
    ) -> Outcomes:
        """What comes of showing ``items`` in requests, all (E,).

        The chance in it is keyed by request and item: the same item shown in the same request
        meets the same luck, in whatever world and at whatever position.
        """
        users, hours = self.traffic.users[request_ids], self.traffic.hours[request_ids]
        wanted = self._wanted(users, items, hours, clicks_of_late)
        truth = self._expected(items, wanted, positions)
        luck = keyed_uniforms(self.seed, CLICKS, request_ids, items)
        clicked = luck < truth.click_probability
        looked = luck < self._attention(positions)
        progress = keyed_uniforms(self.seed, WATCHED, request_ids, items)
        duration = self.items.duration_s[items]
        valid = np.minimum(duration, self.settings.valid_play_s)
        share = _watched_share(wanted)
        beyond = progress ** ((1 - share) / share)  # its mean is the share
        watched = np.where(clicked, valid + (duration - valid) * beyond, valid * progress)
        waiting = -np.log(keyed_uniforms(self.seed, DELAYS, request_ids, items))
        delay_s = np.where(clicked, self.settings.label_delay_s * waiting, 0.0)
        return Outcomes(clicked, np.where(looked, watched, 0.0), delay_s, truth)

    def _wanted(
        self, users: Ints, items: Ints, hours: Floats, clicks_of_late: Floats | float
    ) -> Floats:
        """Logits of a click on what is looked at."""
        s, category = self.settings, self.items.category[items]
        mood = self.tastes.mood(users, np.asarray(hours)) == category
        wanted: Floats = (
            s.base_logit
            + self.readiness[users]
            + s.taste_gain * self.tastes.liking(users, category, hours)
            + s.mood_gain * mood
            + self.items.attraction(items, hours)
            + s.social_gain * np.log1p(clicks_of_late)
        )
        return wanted

    def _attention(self, positions: Ints | int) -> Floats:
        attention: Floats = (np.asarray(positions) + 1.0) ** -self.settings.attention
        return attention

    def _expected(self, items: Ints, wanted: Floats, positions: Ints | int) -> Truth:
        chosen = _logistic(wanted)
        duration = self.items.duration_s[items]
        valid = np.minimum(duration, self.settings.valid_play_s)
        played = valid + (duration - valid) * _watched_share(wanted)
        attention = self._attention(positions)
        # without a click the play is uniform below the valid one
        return Truth(attention * chosen, attention * (chosen * played + (1 - chosen) * valid / 2))


def _logistic(logits: Floats) -> Floats:
    chances: Floats = 1 / (1 + np.exp(-logits))
    return chances


def _watched_share(wanted: Floats) -> Floats:
    """Mean share of the video beyond the valid play that a click leads to."""
    return _logistic(LIKED_IS_WATCHED * wanted)
