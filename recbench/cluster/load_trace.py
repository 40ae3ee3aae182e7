"""A day of work for a cluster: jobs with deadlines, prices, carbon, and when workers are lost."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["Job", "LoadTrace", "day_of_load"]

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
USUAL_PEAK_WORKERS = 40.0
REFRESH_S = 900.0  # between two refreshes of one log, and the deadline of each
STRAGGLERS, STRAGGLE = 0.01, 3.0  # share of tasks, and how many times as long they take
LONGEST = 4.0  # times the mean; what takes longer, schedulers start elsewhere a second time

Floats = npt.NDArray[np.float64]


class Job(NamedTuple):
    """Tasks that come together and are due together; one after the other or side by side."""

    kind: str  # tasks of one kind take about equally long
    arrival_s: float
    due_s: float
    tasks_s: tuple[float, ...]  # what each takes of each of its workers
    gang: int = 1  # workers that a task takes at once
    may_wait: bool = False  # for a cheap hour

    @property
    def work_s(self) -> float:
        """Worker-seconds of all tasks."""
        return sum(self.tasks_s) * self.gang


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTrace:
    """Jobs by arrival, and what every hour costs; the same for every policy that is tried on it."""

    name: str
    jobs: tuple[Job, ...]
    prices: tuple[float, ...]  # of a worker-hour in each hour
    carbon_g_per_kwh: tuple[float, ...]
    said_prices: tuple[float, ...]  # as forecast the day before
    said_carbon: tuple[float, ...]
    reclaims: tuple[tuple[float, float], ...] = ()  # spot: when, and which share of the workers
    life_h: float = math.inf  # mean hours until a worker fails by itself
    seed: int = 0  # of lifetimes and starts

    @property
    def end_s(self) -> float:
        """When the last job is due: until then every policy pays."""
        return max((job.due_s for job in self.jobs), default=0.0)

    def __post_init__(self) -> None:
        """Hours must reach to the end, and jobs must be due after they come."""
        n_hours = len(self.prices)
        if {len(self.carbon_g_per_kwh), len(self.said_prices), len(self.said_carbon)} != {n_hours}:
            raise InputError(
                f"`{self.name}`: prices and carbon must be of the same {n_hours} hours"
            )
        if self.end_s > n_hours * HOUR_S:
            raise InputError(
                f"`{self.name}`: {n_hours} hours of prices end before {self.end_s:.0f} s, "
                "when the last job is due"
            )
        late = [job for job in self.jobs if not job.due_s > job.arrival_s >= 0]
        if late:
            raise InputError(f"`{self.name}`: a job must be due after it comes, got {late[0]}")


def day_of_load(
    seed: int,
    *,
    peak_workers: float = 40.0,
    n_logs: int = 20,
    rhythm: Floats | None = None,
) -> LoadTrace:
    """A generated day: refreshes by the rhythm of events, training, notebooks, nightly rebuilds.

    Every log is refreshed each quarter of an hour, at its own minute, by the events that came
    meanwhile; their rate has a day rhythm, a weekday, noise and bursts. Prices, carbon and
    capacity that is taken back vary by the hour. Everything is drawn from ``seed``.

    Args:
        seed: of everything random.
        peak_workers: that refreshes keep busy at the top of a working day without a burst.
        n_logs: that are refreshed, the largest more than a fourth of the load.
        rhythm: (1440,) events by minute, 1 at the top of a usual day; None: a generated one.
    """
    rng = np.random.default_rng([seed, 2])
    weekday = int(rng.integers(7))
    generated = _events_by_minute(rng, weekday)
    size = peak_workers / USUAL_PEAK_WORKERS  # everything beside refreshes grows with them
    rate = peak_workers * (generated if rhythm is None else rhythm)
    jobs = [
        *_refreshes(rng, rate, n_logs),
        *_training(rng, size, working=weekday < 5),
        *_notebooks(rng, size, working=weekday < 5),
        *_rebuilds(rng, size),
    ]
    jobs.sort(key=lambda job: job.arrival_s)
    n_hours = math.ceil(max(job.due_s for job in jobs) / HOUR_S)
    hours = np.arange(n_hours)
    # a spot worker of four threads; dear and dirty when people are awake, clean at noon
    prices = 0.08 * (1 + 0.25 * _bell(hours, 18.5, 5.0)) * rng.lognormal(0, 0.05, n_hours)
    carbon = 380 * (1 - 0.35 * _bell(hours, 13.0, 3.5) + 0.2 * _bell(hours, 19.5, 2.5))
    carbon *= rng.lognormal(0, 0.04, n_hours)
    return LoadTrace(
        name=f"day {seed}",
        jobs=tuple(jobs),
        prices=_floats(prices),
        carbon_g_per_kwh=_floats(carbon),
        said_prices=_floats(prices * rng.lognormal(0, 0.05, n_hours)),
        said_carbon=_floats(carbon * rng.lognormal(0, 0.08, n_hours)),
        reclaims=_reclaims(rng),
        life_h=200.0,
        seed=seed,
    )


def _events_by_minute(rng: np.random.Generator, weekday: int) -> Floats:
    """(1455,) relative rate of events, about 1 at the top of a day; noise and bursts on it."""
    minutes = np.arange(DAY_S / 60 + REFRESH_S / 60)
    hours = minutes / 60
    shift = rng.normal(0, 0.5)
    rhythm = 0.18 + 0.45 * _bell(hours, 13 + shift, 3.5) + 0.8 * _bell(hours, 20.5 + shift, 2.3)
    rhythm *= 1.15 if weekday >= 5 else 1.0
    noise = np.repeat(rng.normal(0, 0.06, len(minutes) // 5 + 1), 5)[: len(minutes)]
    rate = rhythm * np.exp(noise)
    for _ in range(rng.poisson(1.5)):  # something goes round: up within minutes, down within hours
        since = hours - rng.uniform(0, 24)
        height, decay_h = rng.uniform(0.15, 0.5), rng.uniform(0.3, 1.5)
        rise = np.clip(since / 0.1, 0, 1) * np.exp(-np.clip(since, 0, None) / decay_h)
        rate = rate + np.where(since > 0, height * rise, 0)
    return np.asarray(rate, dtype=np.float64)


def _refreshes(rng: np.random.Generator, rate: Floats, n_logs: int) -> Iterator[Job]:
    sizes = 1 / np.arange(1, n_logs + 1)
    sizes = sizes / sizes.sum()
    arrived = np.concatenate([[0.0], np.cumsum(rate)]) * 60  # worker-seconds of work until then
    for log in range(n_logs):
        offset = int(rng.integers(int(REFRESH_S / 60)))
        for minute in range(offset, int(DAY_S / 60), int(REFRESH_S / 60)):
            begun = max(0, minute - int(REFRESH_S / 60))
            work_s = sizes[log] * (arrived[minute] - arrived[begun]) + 20.0
            tasks = _tasks(rng, work_s, task_s=75.0, spread=0.35)
            yield Job("refresh", 60.0 * minute, 60.0 * minute + REFRESH_S, tasks)


def _training(rng: np.random.Generator, size: float, *, working: bool) -> Iterator[Job]:
    for _ in range(rng.poisson(size * (8 if working else 2))):
        at = float(np.clip(rng.normal(13, 3), 0, 23)) * HOUR_S
        seconds = float(rng.uniform(300, 900))
        yield Job("train", at, at + HOUR_S, (seconds,), gang=int(rng.choice([2, 4, 8])))


def _notebooks(rng: np.random.Generator, size: float, *, working: bool) -> Iterator[Job]:
    for _ in range(rng.poisson(size * (120 if working else 25))):
        at = float(np.clip(rng.normal(14, 3), 0, 23.4)) * HOUR_S
        seconds = float(np.clip(rng.lognormal(np.log(200), 0.5), 30, 900))
        yield Job("notebook", at, at + HOUR_S / 2, (seconds,))


def _rebuilds(rng: np.random.Generator, size: float) -> Iterator[Job]:
    for _ in range(rng.poisson(5)):
        at = float(rng.uniform(0, 14)) * HOUR_S
        work_s = size * float(rng.uniform(6, 20)) * HOUR_S
        tasks = _tasks(rng, work_s, task_s=240.0, spread=0.25)
        yield Job("rebuild", at, at + 10 * HOUR_S, tasks, may_wait=True)


def _tasks(
    rng: np.random.Generator, work_s: float, *, task_s: float, spread: float
) -> tuple[float, ...]:
    """About ``work_s`` in pieces of about ``task_s``; a few of them straggle."""
    n = max(1, round(work_s / task_s))
    straggle = np.where(rng.random(n) < STRAGGLERS, STRAGGLE, 1.0)
    times = np.minimum(rng.lognormal(-(spread**2) / 2, spread, n) * straggle, LONGEST)
    return _floats(work_s / n * times)


def _reclaims(rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """A few times a day the cloud takes back some of the spot workers at once."""
    times = np.sort(rng.uniform(0, DAY_S, rng.poisson(4)))
    return tuple((float(at), float(rng.uniform(0.05, 0.35))) for at in times)


def _bell(hours: npt.NDArray[Any], centre: float, width: float) -> Floats:
    away = (hours - centre + 12) % 24 - 12
    return np.exp(-0.5 * (away / width) ** 2)


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
