"""Discrete-event simulation of a cluster under a policy: what a day costs, and what comes late.

Workers are paid from the moment they are asked for. A task whose worker is lost begins anew, a
gang goes on from its last checkpoint. There is no clock and no thread: the same trace, policy and
machine give the same numbers.
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import numpy as np

from recbench.cluster.bill import Bill
from recbench.cluster.load_trace import HOUR_S, Job, LoadTrace
from recbench.cluster.scaling import ClusterState, DueWork, Hour

__all__ = ["Machine", "Outcome", "ScalingRule", "simulate"]

FIRST_GUESS_S = 60.0  # of a task, before any of its kind was measured
LEARNING = 0.02  # weight of the latest task in what a task is expected to take
ARRIVING_S = 900.0  # over which arriving work is measured: every log is refreshed once in it


class ScalingRule(Protocol):
    """How many workers there should be, and whether work that may wait should run now."""

    def target(self, state: ClusterState) -> int:
        """Workers wanted."""

    def runs_now(self, work: DueWork, state: ClusterState) -> bool:
        """Whether the work is let to the workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a worker takes to start and draws; a worker has four threads."""

    startup_s: float = 57.0  # measured: eight local workers that import torch, on two cores
    startup_spread: float = 0.2  # of its logarithm
    most: int = 64  # workers that there may be
    idle_w: float = 3.0  # four threads, see energy.py
    busy_w: float = 14.0
    poll_s: float = 15.0  # between two questions to the policy
    checkpoint_s: float = 60.0  # of training: what a gang can lose

    def startup_after(self, drawn: float) -> float:
        """Seconds of a start, from a draw of the standard normal, cut off at three."""
        return self.startup_s * math.exp(self.startup_spread * max(-3.0, min(drawn, 3.0)))

    @property
    def least_startup_s(self) -> float:
        """No start takes less."""
        return self.startup_after(-3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a policy made of a trace."""

    cost: float
    kwh: float
    carbon_kg: float
    n_jobs: int
    n_missed: int  # jobs that were done after they were due, or never
    starts: int
    lost_s: float  # worker-seconds that were done twice
    paid_s: float  # worker-seconds
    busy_s: float
    workers: tuple[tuple[float, int, int], ...] = field(repr=False)  # at each poll: alive, busy


class _What(IntEnum):
    READY = 0
    DONE = 1
    LOST = 2
    RECLAIMED = 3


class _Run:
    """A job under way."""

    __slots__ = ("begun_s", "is_open", "job", "n_done", "n_running", "number", "waiting")

    def __init__(self, job: Job, number: int) -> None:
        self.job, self.number = job, number
        self.waiting = deque(job.tasks_s)
        self.n_running = self.n_done = 0
        self.begun_s = 0.0  # sum of the instants at which its running tasks began
        self.is_open = False

    def due_work(self, now_s: float, task_s: float) -> DueWork:
        """As the policy sees it, if each task takes what such tasks took so far."""
        job, n_running = self.job, self.n_running
        n_tasks = len(self.waiting) + n_running
        gone_s = min(n_running * now_s - self.begun_s, 0.9 * n_running * task_s)
        work_s = (n_tasks * task_s - gone_s) * job.gang
        begun = n_running > 0 or self.n_done > 0
        return DueWork(work_s, job.due_s - now_s, n_tasks, job.gang, job.may_wait, begun)


class _Task:
    __slots__ = ("begun_s", "is_live", "run", "seconds", "workers")

    def __init__(self, run: _Run, seconds: float, begun_s: float, workers: list[int]) -> None:
        self.run, self.seconds, self.begun_s, self.workers = run, seconds, begun_s, workers
        self.is_live = True


def simulate(trace: LoadTrace, policy: ScalingRule, machine: Machine | None = None) -> Outcome:
    """Run a trace's jobs, the earliest deadline first, on the workers that the policy wants."""
    return _Simulation(trace, policy, machine or Machine()).play()


class _Simulation:
    """One event loop; its parts share all of its state, so they stand in one class."""

    def __init__(self, trace: LoadTrace, policy: ScalingRule, machine: Machine) -> None:
        self.trace, self.policy, self.machine = trace, policy, machine
        self.bill = Bill.of(trace, idle_w=machine.idle_w, busy_w=machine.busy_w)
        self.rng = np.random.default_rng([trace.seed, 3])  # the same draws for the nth worker
        self.now_s, self.n_events, self.n_workers_ever, self.target = 0.0, 0, 0, 0
        self.events: list[tuple[float, int, _What, object]] = []
        self.born: dict[int, float] = {}  # workers that are paid for: since when
        self.starting: set[int] = set()
        self.idle: dict[int, float] = {}  # since when; who became idle last is taken first
        self.task_of: dict[int, _Task] = {}
        self.queue: list[tuple[float, int, _Run]] = []  # open runs with waiting tasks, by due time
        self.runs: dict[int, _Run] = {}  # unfinished ones
        self.task_s: dict[str, float] = {}  # what a task of each kind took so far
        self.arrived: deque[tuple[float, float]] = deque()  # when, worker-seconds
        self.n_missed, self.lost_s = 0, 0.0
        self.seen: list[tuple[float, int, int]] = []

    def play(self) -> Outcome:
        """All of the trace, from an empty cluster to when the last job is due."""
        for at_s, share in self.trace.reclaims:
            self._later(at_s, _What.RECLAIMED, share)
        jobs, n_come, poll_s, end_s = self.trace.jobs, 0, 0.0, self.trace.end_s
        while True:
            event_s = self.events[0][0] if self.events else math.inf
            arrival_s = jobs[n_come].arrival_s if n_come < len(jobs) else math.inf
            self.now_s = min(event_s, arrival_s, poll_s)
            if self.now_s >= end_s:
                return self._outcome()
            if arrival_s <= self.now_s:
                self._arrive(_Run(jobs[n_come], n_come))
                n_come += 1
            elif event_s <= self.now_s:
                _, _, what, payload = heapq.heappop(self.events)
                self._happen(what, payload)
            else:
                self._poll()
                poll_s += self.machine.poll_s

    def _later(self, at_s: float, what: _What, payload: object) -> None:
        self.n_events += 1
        heapq.heappush(self.events, (at_s, self.n_events, what, payload))

    def _happen(self, what: _What, payload: object) -> None:
        if isinstance(payload, _Task):
            if payload.is_live:
                self._done(payload)
        elif isinstance(payload, float):
            self._reclaim(payload)
        elif isinstance(payload, int) and what == _What.LOST:
            self._lose(payload)
        elif isinstance(payload, int) and payload in self.starting:
            self.starting.remove(payload)
            self.idle[payload] = self.now_s
        self._dispatch()

    # Jobs and tasks

    def _arrive(self, run: _Run) -> None:
        job = run.job
        self.runs[run.number] = run
        if not job.may_wait:
            self.arrived.append((self.now_s, self._expected_s(job)))
            self._open(run)
            self._dispatch()

    def _open(self, run: _Run) -> None:
        run.is_open = True
        heapq.heappush(self.queue, (run.job.due_s, run.number, run))

    def _dispatch(self) -> None:
        """Idle workers take tasks, the earliest deadline first; a gang waits for all of its."""
        while self.queue and self.idle:
            run = self.queue[0][2]
            if not run.is_open or not run.waiting:
                heapq.heappop(self.queue)
                continue
            if len(self.idle) < run.job.gang:
                return
            workers = [self.idle.popitem()[0] for _ in range(run.job.gang)]
            task = _Task(run, run.waiting.popleft(), self.now_s, workers)
            for worker in workers:
                self.task_of[worker] = task
            run.n_running += 1
            run.begun_s += self.now_s
            self._later(self.now_s + task.seconds, _What.DONE, task)

    def _done(self, task: _Task) -> None:
        run, kind = task.run, task.run.job.kind
        self._free(task)
        run.n_done += 1
        before_s = self.task_s.get(kind, task.seconds)
        self.task_s[kind] = before_s + LEARNING * (task.seconds - before_s)
        if run.n_done == len(run.job.tasks_s):
            del self.runs[run.number]
            self.n_missed += self.now_s > run.job.due_s
        for worker in task.workers:
            if len(self.born) > self.target:  # it was wanted away while it was busy
                self._close(worker)

    def _free(self, task: _Task) -> None:
        """What the task's workers did is paid for, and they are idle again."""
        task.is_live = False
        task.run.n_running -= 1
        task.run.begun_s -= task.begun_s
        self.bill.work(task.begun_s, self.now_s, n_workers=len(task.workers))
        for worker in task.workers:
            del self.task_of[worker]
            self.idle[worker] = self.now_s

    # Workers

    def _start(self) -> None:
        worker = self.n_workers_ever
        self.n_workers_ever += 1
        startup_s = self.machine.startup_after(self.rng.standard_normal())
        self.born[worker] = self.now_s
        self.starting.add(worker)
        self._later(self.now_s + startup_s, _What.READY, worker)
        if self.trace.life_h != math.inf:
            life_s = self.rng.exponential(self.trace.life_h) * HOUR_S
            self._later(self.now_s + life_s, _What.LOST, worker)

    def _reclaim(self, share: float) -> None:
        drawn = np.random.default_rng([self.trace.seed, int(self.now_s)]).random(len(self.born))
        for worker, chance in zip(list(self.born), drawn.tolist(), strict=True):
            if chance < share:
                self._lose(worker)

    def _lose(self, worker: int) -> None:
        """The worker is gone; its task waits again, but for what a checkpoint kept."""
        if worker not in self.born:
            return
        task = self.task_of.get(worker)
        if task is not None:
            gone_s = self.now_s - task.begun_s
            kept_s = gone_s - gone_s % self.machine.checkpoint_s if task.run.job.gang > 1 else 0.0
            self.lost_s += (gone_s - kept_s) * len(task.workers)
            self._free(task)
            task.run.waiting.appendleft(task.seconds - kept_s)
            if task.run.is_open:
                self._open(task.run)
        self._close(worker)

    def _close(self, worker: int) -> None:
        self.starting.discard(worker)
        self.idle.pop(worker, None)
        self.bill.pay(self.born.pop(worker), self.now_s)

    # The policy

    def _poll(self) -> None:
        state = self._state()
        for run in self.runs.values():
            if run.job.may_wait:
                runs_now = self.policy.runs_now(self._due_work(run), state)
                if runs_now and not run.is_open:
                    self._open(run)
                run.is_open = runs_now
        self.target = max(0, min(self.policy.target(state), self.machine.most))
        for _ in range(self.target - len(self.born)):
            self._start()
        surplus = len(self.born) - self.target
        if surplus > 0:  # those that are not there yet, then those that have been idle longest
            for worker in [*self.starting, *self.idle][:surplus]:
                self._close(worker)
        self.seen.append((self.now_s, len(self.born), len(self.task_of)))
        self._dispatch()

    def _state(self) -> ClusterState:
        while self.arrived and self.arrived[0][0] < self.now_s - ARRIVING_S:
            self.arrived.popleft()
        return ClusterState(
            n_ready=len(self.born) - len(self.starting),
            n_starting=len(self.starting),
            n_busy=len(self.task_of),
            idle_s=tuple(self.now_s - since_s for since_s in self.idle.values()),
            work=tuple(self._due_work(run) for run in self.runs.values()),
            startup_s=self.machine.startup_s,
            hours=self._hours(),
            arriving=self._arriving(),
        )

    def _arriving(self) -> float:
        """Workers for the work of the last minutes; what may wait counts evenly over its time."""
        of_late = sum(work_s for _, work_s in self.arrived) / ARRIVING_S
        jobs = (run.job for run in self.runs.values() if run.job.may_wait)
        return of_late + sum(self._expected_s(job) / (job.due_s - job.arrival_s) for job in jobs)

    def _expected_s(self, job: Job) -> float:
        task_s = self.task_s.get(job.kind, FIRST_GUESS_S)
        return len(job.tasks_s) * job.gang * task_s

    def _due_work(self, run: _Run) -> DueWork:
        return run.due_work(self.now_s, self.task_s.get(run.job.kind, FIRST_GUESS_S))

    def _hours(self) -> tuple[Hour, ...]:
        """What this hour costs, and what was forecast of the coming ones."""
        trace, number = self.trace, int(self.now_s / HOUR_S)
        left_s = (number + 1) * HOUR_S - self.now_s
        now = Hour(left_s, trace.prices[number], trace.carbon_g_per_kwh[number])
        said = zip(trace.said_prices[number + 1 :], trace.said_carbon[number + 1 :], strict=True)
        return (now, *(Hour(HOUR_S, price, carbon) for price, carbon in said))

    def _outcome(self) -> Outcome:
        self.now_s = self.trace.end_s
        for task in {id(task): task for task in self.task_of.values()}.values():
            self._free(task)
        for worker in list(self.born):
            self._close(worker)
        return Outcome(
            cost=self.bill.cost,
            kwh=self.bill.kwh,
            carbon_kg=self.bill.carbon_kg,
            n_jobs=len(self.trace.jobs),
            n_missed=self.n_missed + len(self.runs),
            starts=self.n_workers_ever,
            lost_s=self.lost_s,
            paid_s=self.bill.paid_s,
            busy_s=self.bill.busy_s,
            workers=tuple(self.seen),
        )
