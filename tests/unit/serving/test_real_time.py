"""Real-time priority while a worker can rest: the rule, and a service that is asked without end."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from recbench.refresh import Registry
from recbench.serving import real_time as module
from recbench.serving.load import Target, closed_loop, load_process

LOOK_NS = 100_000_000


@pytest.fixture
def look(monkeypatch):
    """Looks again after the thread ran for such a share of the time; says what it did about it."""
    clock, ran, changes = [0], [0], []
    monkeypatch.setattr(module, "be_urgent", lambda: changes.append("urgent"))
    monkeypatch.setattr(module, "be_ordinary", lambda: changes.append("ordinary"))
    monkeypatch.setattr(
        module,
        "time",
        types.SimpleNamespace(perf_counter_ns=lambda: clock[0], thread_time_ns=lambda: ran[0]),
    )
    watched = module.RealTime()

    def after(running, *, n=1):
        for _ in range(n):
            clock[0] += LOOK_NS
            ran[0] += int(running * LOOK_NS)
            watched.look()
        made = changes.copy()
        changes.clear()
        return made, watched.is_on

    return after


def test_a_worker_with_pauses_is_urgent_from_the_first_look(look):
    assert look(0.5) == (["urgent"], True)
    assert look(0.78, n=50) == ([], True)


def test_it_gives_way_while_it_runs_nearly_all_the_time(look):
    look(0.5)
    assert look(0.9, n=4) == ([], True)
    assert look(0.78) == ([], True)  # not in a row
    assert look(0.9, n=5) == (["ordinary"], False)
    assert look(0.78, n=50) == ([], False)
    assert look(0.7) == (["urgent"], True)


def test_whom_others_then_keep_from_running_leaves_them_a_second_of_each_one_and_a_half(look):
    look(0.5)
    for _ in range(3):
        assert look(1.0, n=4) == ([], True)
        assert look(1.0) == (["ordinary"], False)
        assert look(0.5, n=9) == ([], False)
        assert look(0.5) == (["urgent"], True)


@pytest.mark.slow
@pytest.mark.alone  # what lays releases out has idle time only
def test_a_service_answers_at_real_time_priority_but_under_more_than_it_bears(served_toy, tmp_path):
    allowed = [sys.executable, "-c", "from recbench import priority as p; p.require_urgency(3)"]
    if subprocess.run(allowed, capture_output=True, check=False).returncode:
        pytest.skip("this user has no real-time priorities")
    registry = Registry(tmp_path / "registry")
    first = served_toy.seal(registry).release.manifest.release
    registry.publish(first)
    service = served_toy.RunningService(tmp_path, "--real-time").until_ready()
    try:
        service.until(lambda: service.metric("recbench_real_time") == 1)
        urgent = [thread for _, thread, policy in threads(service) if policy == os.SCHED_RR]
        assert len(urgent) == 3  # who hands out connections, who answers, and its helper
        later = served_toy.seal(registry, created="2026-01-03T00:00:00+00:00").release.manifest
        registry.publish(later.release)
        service.until(lambda: service.recommend(user_id=1, k=2)["release"] == later.release)
        found = {policy for name, _, policy in threads(service) if "standby" in name}
        assert found == {os.SCHED_IDLE}

        # long histories, so that the worker is what takes time, and not who asks
        history = [{"item_id": 10}] * 10_000
        body = json.dumps({"history": history, "k": 2}).encode()
        with load_process() as pool:
            target = Target(port=service.port)
            loads = pool.submit(closed_loop, target, [body], clients=16, seconds=5.0)
            service.until(lambda: service.metric("recbench_real_time") == 0)
            assert loads.result().errors() == {}
        service.until(lambda: service.metric("recbench_real_time") == 1)
    finally:
        assert service.stop() == 0, service.said


def threads(service):
    """Command, number and policy of every thread of the service's processes."""
    import psutil

    parent = psutil.Process(service.process.pid)
    for process in [parent, *parent.children(recursive=True)]:
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            policy = os.sched_getscheduler(int(task.name)) & ~os.SCHED_RESET_ON_FORK
            yield " ".join(process.cmdline()), int(task.name), policy
