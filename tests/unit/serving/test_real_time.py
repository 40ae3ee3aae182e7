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
def look(monkeypatch, tmp_path):
    """Looks again after the thread ran and waited for such shares of the time; says how it is."""
    place, clock, changes = tmp_path / "schedstat", [0], []
    place.write_text("0 0 0\n")
    ran = waited = 0
    monkeypatch.setattr(module, "SCHEDSTAT", place)
    monkeypatch.setattr(module, "be_urgent", lambda: changes.append("urgent"))
    monkeypatch.setattr(module, "be_ordinary", lambda: changes.append("ordinary"))
    monkeypatch.setattr(module, "time", types.SimpleNamespace(perf_counter_ns=lambda: clock[0]))
    watched = module.RealTime()

    def after(running, waiting=0.0, *, n=1):
        nonlocal ran, waited
        for _ in range(n):
            clock[0] += LOOK_NS
            ran, waited = ran + int(running * LOOK_NS), waited + int(waiting * LOOK_NS)
            place.write_text(f"{ran} {waited} 7\n")
            watched.look()
        return changes, watched.is_on

    return after


def test_a_worker_with_pauses_is_urgent_from_the_first_look(look):
    assert look(0.5) == (["urgent"], True)
    assert look(0.9, n=50) == (["urgent"], True)


def test_it_gives_way_once_it_never_rests_and_comes_back_after_a_calm_second(look):
    look(0.5)
    assert look(1.0, n=4) == (["urgent"], True)
    assert look(0.5) == (["urgent"], True)  # not in a row
    assert look(1.0, n=5) == (["urgent", "ordinary"], False)
    assert look(0.7, 0.1, n=9)[1] is False
    assert look(0.7, 0.1) == (["urgent", "ordinary", "urgent"], True)


def test_it_is_tried_again_though_it_still_waits_and_ever_more_rarely_in_vain(look):
    look(0.5, n=100)
    for n_looks in (20, 40, 80, 160, 320, 320):
        assert look(1.0, n=5)[1] is False
        assert look(0.7, 0.3, n=n_looks - 1)[1] is False
        assert look(0.7, 0.3)[1] is True
    look(0.5, n=100)  # this time it lasts
    assert look(1.0, n=5)[1] is False
    assert look(0.7, 0.3, n=20)[1] is True


def test_a_system_that_does_not_tell_of_waiting_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "require_urgency", lambda: None)
    monkeypatch.setattr(module, "SCHEDSTAT", tmp_path / "none")
    with pytest.raises(module.InputError, match="leave --real-time away"):
        module.require_real_time()


@pytest.mark.slow
@pytest.mark.alone  # what lays releases out has idle time only
def test_a_service_answers_at_real_time_priority_but_under_more_than_it_bears(served_toy, tmp_path):
    allowed = "from recbench.serving.real_time import require_real_time; require_real_time()"
    if subprocess.run([sys.executable, "-c", allowed], capture_output=True, check=False).returncode:
        pytest.skip("this user has no real-time priorities")
    registry = Registry(tmp_path / "registry")
    first = served_toy.seal(registry).release.manifest.release
    registry.publish(first)
    service = served_toy.RunningService(tmp_path, "--real-time").until_ready()
    try:
        service.until(lambda: service.metric("recbench_real_time") == 1)
        urgent = [thread for _, thread, policy in threads(service) if policy == os.SCHED_RR]
        assert len(urgent) == 1  # the one that answers
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
