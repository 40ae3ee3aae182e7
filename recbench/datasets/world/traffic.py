"""Who asks when: sessions of requests that follow the rhythm of the day."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.settings import WorldSettings

__all__ = ["Traffic"]

STEPS = 1_440  # of the day, for drawing times from its rhythm

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """All requests in order of time; what is shown does not change who comes."""

    users: Ints  # (R,)
    hours: Floats  # (R,) since the beginning

    @classmethod
    def drawn(cls, settings: WorldSettings, *, seed: int) -> Self:
        """Of the whole world; the request's place in it is its id."""
        rng = np.random.default_rng([seed, 3])
        n_days = int(np.ceil(settings.days))  # whole ones are drawn, so that the hour matters
        expected = settings.n_users * settings.requests_per_user_day * n_days
        n_sessions = max(1, rng.poisson(expected / settings.session_requests))
        activity = np.exp(settings.activity_sd * rng.standard_normal(settings.n_users))
        users = rng.choice(settings.n_users, n_sessions, p=activity / activity.sum())
        starts = 24 * rng.integers(0, n_days, n_sessions) + _times_of_day(rng, n_sessions, settings)
        lengths = _lengths(rng, n_sessions, settings)
        gaps = _gaps(rng, lengths.sum(), settings) / 3600
        first = np.cumsum(lengths) - lengths
        gaps[first] = 0.0
        since = np.cumsum(gaps)
        hours = np.repeat(starts - since[first], lengths) + since
        users = np.repeat(users, lengths)
        inside = np.flatnonzero(hours < 24 * settings.days)
        order = inside[np.argsort(hours[inside], kind="stable")]
        return cls(users[order], hours[order])

    def __len__(self) -> int:
        """The number of requests."""
        return len(self.users)

    def between(self, start_h: float, end_h: float) -> slice:
        """The requests of ``[start_h, end_h)``."""
        first, last = np.searchsorted(self.hours, [start_h, end_h], side="left")
        return slice(int(first), int(last))


def _lengths(rng: np.random.Generator, n: int, settings: WorldSettings) -> Ints:
    """(n,) requests of sessions, each of which stops with a chance of its own."""
    means: float | Floats = settings.session_requests
    if settings.session_sd:
        means = means * rng.lognormal(-(settings.session_sd**2) / 2, settings.session_sd, n)
    return rng.geometric(1 / np.maximum(means, 1.0), n)


def _gaps(rng: np.random.Generator, n: int, settings: WorldSettings) -> Floats:
    """(n,) seconds between two requests of a session.

    Log-normal gaps within sessions: Halfaker et al., "User session identification based on strong
    regularities in inter-activity time", WWW 2015.
    """
    if settings.gap_sd is None:
        return rng.exponential(settings.request_gap_s, n)
    mean = np.log(settings.request_gap_s) - settings.gap_sd**2 / 2
    return rng.lognormal(mean, settings.gap_sd, n)


def _times_of_day(rng: np.random.Generator, n: int, settings: WorldSettings) -> Floats:
    """(n,) hours of the day, more often around the peak hour."""
    edges = np.linspace(0, 24, STEPS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    rate = 1 + settings.rhythm * np.cos(2 * np.pi * (middles - settings.peak_hour) / 24)
    reached = np.concatenate([[0.0], np.cumsum(rate) / rate.sum()])
    return np.interp(rng.random(n), reached, edges)
