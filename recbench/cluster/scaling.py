"""How many workers there should be now: a pure function of what waits, by when, at which price."""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

from recbench.errors import InputError

__all__ = ["ClusterState", "DueWork", "Hour", "ScalingPolicy"]

COUNTS = ("minimum", "maximum", "most_for_later")


class DueWork(NamedTuple):
    """Work that is due at the same time, running or waiting."""

    work_s: float  # worker-seconds left, by the throughput measured so far
    due_s: float  # seconds from now until it must be done
    n_tasks: int = 1  # pieces left: more workers than pieces do not help
    gang: int = 1  # workers that each piece takes at once
    may_wait: bool = False  # for a cheap hour, as long as it is done when due
    has_begun: bool = False


class Hour(NamedTuple):
    """What a worker costs in a stretch of time; the first one in a list holds now."""

    seconds: float  # that are left of it
    price: float  # money for a worker-hour
    carbon_g_per_kwh: float = 0.0
    power_w: float = math.inf  # that all workers together may draw


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """What is seen of a cluster at one moment."""

    n_ready: int  # workers that could take a task, busy or not
    n_starting: int
    n_busy: int  # of the ready ones; none of them is ever taken away
    idle_s: tuple[float, ...]  # of each ready worker without a task, for how long
    work: tuple[DueWork, ...]
    startup_s: float  # from asking for a worker to its first task, measured
    hours: tuple[Hour, ...] = ()  # now and forecast; none: every hour costs the same
    arriving: float = 0.0  # workers kept busy by what comes; for rules that follow the load


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPolicy:
    """Just enough workers for every deadline, and idle ones kept while a restart costs as much.

    Grows when the queue, sorted by deadline, cannot be done in time by those who are there. Shrinks
    only by workers that have been idle for longer than ``patience`` starts: between the two lies
    the hysteresis. What may wait runs in the cheapest hours before it is due.
    """

    minimum: int = 2
    maximum: int = 64
    deadline_s: float = 900.0  # of work that names no deadline of its own
    margin_s: float = 480.0  # work is planned to be done so long before it is due
    safety: float = 1.3  # work may take so much longer than what was measured so far
    patience: float = 0.25  # starts that an idle worker is kept for
    steady: float = 0.9  # share of the workers that what arrives needs, who stay even if idle
    later_margin_s: float = 1800.0  # the margin of what may wait: it has the time
    most_for_later: int = 16  # workers planned for one piece of work that may wait
    carbon_price: float = 0.08  # money for a kilogram of carbon dioxide, beside what is paid
    worker_w: float = 3.5  # drawn by a busy worker
    loyalty: float = 0.03  # an hour must be cheaper by this share for begun work to be put off

    def __post_init__(self) -> None:
        """Numbers that contradict each other are refused."""
        for dial in fields(self):
            if getattr(self, dial.name) < 0:
                raise InputError(f"`{dial.name}` must not be negative, got {self}")
        for name in COUNTS:
            if getattr(self, name) != int(getattr(self, name)):
                raise InputError(f"`{name}` must be a whole number, got {getattr(self, name)}")
        if not 0 <= self.minimum <= self.maximum or not self.maximum:
            raise InputError(
                f"`minimum` must not be above `maximum`, got {self.minimum} and {self.maximum}"
            )
        if not self.most_for_later:
            raise InputError("`most_for_later` must be positive: by 0 such work would never run")

    def target(self, state: ClusterState) -> int:
        """Workers that there should be now, those that are starting among them.

        Never fewer than are busy, whatever the limits say.
        """
        leaving = sum(idle > self.patience * state.startup_s for idle in state.idle_s)
        there = state.n_ready + state.n_starting
        kept = max(there - leaving, min(there, self._steady(state)))
        wanted = max(self.needed(state), kept, self.minimum)
        return max(state.n_busy, min(wanted, self._limit(state)))

    def needed(self, state: ClusterState) -> int:
        """Workers without which some work, as measured so far, would be late."""
        planned = [self._plan(work, state) for work in state.work]
        return _fewest(
            sorted((plan for plan in planned if plan is not None), key=lambda plan: plan.due_s),
            margin_s=self.margin_s,
            safety=self.safety,
            n_there=state.n_ready + state.n_starting,
            startup_s=state.startup_s,
        )

    def runs_now(self, work: DueWork, state: ClusterState) -> bool:
        """Whether work that may wait should be let to the workers now.

        The cheapest hours that suffice before it is due are chosen; price and carbon both count.
        At other hours it may have the idle time of workers that are kept in any case.
        """
        if self._plan(work, state) is not None:
            return True
        if state.n_ready <= state.n_busy:
            return False
        kept = max(self.needed(state), self._steady(state), self.minimum)
        return state.n_ready + state.n_starting <= kept

    def worker_hour_cost(self, hour: Hour) -> float:
        """Money for a busy worker in such an hour, its carbon priced in."""
        carbon_kg = self.worker_w / 1000 * hour.carbon_g_per_kwh / 1000
        return hour.price + self.carbon_price * carbon_kg

    def _steady(self, state: ClusterState) -> int:
        """Workers that what arrives keeps busy on average; they stay, for they are soon needed."""
        return int(self.steady * state.arriving)

    def _plan(self, work: DueWork, state: ClusterState) -> DueWork | None:
        """The work as it is to be done from now on; None: a later hour is cheaper."""
        if not work.may_wait:
            return work
        work = work._replace(due_s=work.due_s - max(0.0, self.later_margin_s - self.margin_s))
        usable_s = work.due_s - self.margin_s - state.startup_s
        if not state.hours or usable_s <= state.hours[0].seconds:
            return work
        n_workers = min(self.most_for_later, max(1, work.n_tasks) * work.gang)
        needed_s = work.work_s * self.safety / n_workers
        chosen_s, holds_now = 0.0, False
        for _, number, seconds in self._by_cost(state.hours, usable_s, loyal=work.has_begun):
            chosen_s += seconds
            holds_now |= number == 0
            if chosen_s >= needed_s:
                break
        if not holds_now:
            return None
        return work._replace(due_s=min(work.due_s, chosen_s + self.margin_s))

    def _by_cost(
        self, hours: tuple[Hour, ...], until_s: float, *, loyal: bool
    ) -> list[tuple[float, int, float]]:
        """Cost of a worker-hour, number and usable seconds of each hour, the cheapest first."""
        found, begins_s = [], 0.0
        for number, hour in enumerate(hours):
            usable_s = min(hour.seconds, until_s - begins_s)
            if usable_s <= 0:
                break
            if hour.power_w >= self.worker_w:
                cost = self.worker_hour_cost(hour)
                cost *= 1 - self.loyalty if loyal and number == 0 else 1
                found.append((cost, number, usable_s))
            begins_s += hour.seconds
        return sorted(found)

    def _limit(self, state: ClusterState) -> int:
        power_w = state.hours[0].power_w if state.hours else math.inf
        if power_w == math.inf or not self.worker_w:
            return self.maximum
        return min(self.maximum, int(power_w // self.worker_w))


def _fewest(
    by_due: list[DueWork], *, margin_s: float, safety: float, n_there: int, startup_s: float
) -> int:
    """The fewest workers that finish all of it in time, the earliest deadline first.

    For each deadline, what is due by then must fit into the time of those who are there, and of
    new ones from when they have started; whole tasks must fit, too; and a gang needs its ranks
    beside what is due before it.
    """
    wanted, due_work_s, places = 0, 0.0, 0
    for work in by_due:
        due_work_s += work.work_s * safety
        places += work.n_tasks * work.gang
        usable_s = work.due_s - margin_s
        if usable_s <= 0:  # late already, or nearly: all that can help
            wanted = max(wanted, places)
            continue
        fewest = math.ceil(due_work_s / usable_s)
        if fewest > n_there:
            new_s = max(usable_s - startup_s, 0.1 * usable_s)
            fewest = n_there + math.ceil((due_work_s - n_there * usable_s) / new_s)
        task_s = work.work_s / max(1, work.n_tasks) / work.gang
        by_task = work.gang if work.n_tasks else 0
        if task_s * work.n_tasks > usable_s:  # one after the other they would be late
            by_task *= math.ceil(work.n_tasks / max(1, int(usable_s / task_s)))
        if work.gang > 1 and not work.has_begun:  # else its ranks would never be free at once
            by_task += wanted
        wanted = max(wanted, min(fewest, places), by_task)
    return wanted
