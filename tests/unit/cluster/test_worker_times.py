import asyncio
import types

import pytest

from recbench.cluster import worker_times
from recbench.cluster.worker_times import METRIC, KeepGone


class Scheduler:
    """Workers and events, as a scheduler's plugin sees them."""

    def __init__(self):
        self.workers, self.events = {}, []

    def log_event(self, topic, event):
        self.events.append((topic, event))


def worker(alive_s, cpu_s, *, nthreads=1, last_seen=1000.0):
    metrics = {} if alive_s is None else {METRIC: [alive_s, cpu_s]}
    return types.SimpleNamespace(metrics=metrics, nthreads=nthreads, last_seen=last_seen)


@pytest.fixture
def scheduler(monkeypatch):
    monkeypatch.setattr(worker_times, "time", types.SimpleNamespace(time=lambda: 1002.0))
    return Scheduler()


def test_what_goes_is_added_up_by_what_it_told_last(scheduler):
    scheduler.workers = {"a": worker(8.0, 5.0)}
    keep = KeepGone()
    asyncio.run(keep.start(scheduler))
    scheduler.workers["b"] = worker(18.0, 30.0, nthreads=2)
    keep.add_worker(scheduler, "b")
    for name in ("a", "b"):
        del scheduler.workers[name]
        keep.remove_worker(scheduler, name, stimulus_id="s")

    # two seconds have passed since each was seen
    assert scheduler.events[-1][1] == {
        "n_workers": 2,
        "alive_s": 30.0,
        "thread_s": 50.0,
        "cpu_s": 35.0,
    }


def test_a_worker_that_said_nothing_has_gone_all_the_same(scheduler):
    scheduler.workers = {"a": worker(None, None)}
    keep = KeepGone()
    asyncio.run(keep.start(scheduler))
    keep.remove_worker(scheduler, "a")

    assert scheduler.events[-1][1]["n_workers"] == 1
    assert scheduler.events[-1][1]["alive_s"] == 0.0
