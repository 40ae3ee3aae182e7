"""Real-time priority while a worker can rest: the rule, and a service that is asked without end."""

import json
import os
import subprocess
import sys
import types
from contextlib import suppress
from pathlib import Path

import pytest

from recbench.refresh import Registry
from recbench.serving import real_time as module
from recbench.serving.load import Target, closed_loop, load_process

LOOK_NS = 100_000_000


@pytest.fixture
def look(monkeypatch, tmp_path):
    """Looks again after the thread ran and waited for such shares of the time; says what it did."""
    place, clock, changes = tmp_path / "schedstat", [0], []
    place.write_text("0 0 0\n")
    ran = waited = 0
    monkeypatch.setattr(module, "SCHEDSTAT", place)
    monkeypatch.setattr(module, "be_urgent", lambda: changes.append("urgent"))
    monkeypatch.setattr(module, "be_ordinary", lambda: changes.append("ordinary"))
    monkeypatch.setattr(module, "time", types.SimpleNamespace(perf_counter_ns=lambda: clock[0]))

    def later(seconds, call):
        assert seconds == module.BREATH_S
        call()

    watched = module.RealTime(later)

    def after(running, waiting=0.0, *, n=1):
        nonlocal ran, waited
        for _ in range(n):
            clock[0] += LOOK_NS
            ran, waited = ran + int(running * LOOK_NS), waited + int(waiting * LOOK_NS)
            place.write_text(f"{ran} {waited} 7\n")
            watched.look()
        made = changes.copy()
        changes.clear()
        return made, watched.is_on

    return after


BREATH = ["ordinary", "urgent"]


def test_a_worker_with_pauses_is_urgent_from_the_first_look(look):
    assert look(0.5) == (["urgent"], True)
    assert look(0.8, 0.08, n=50) == ([], True)


def test_a_busy_one_takes_a_breath_after_each_look(look):
    look(0.5)
    assert look(0.8, 0.14, n=7) == (BREATH * 7, True)
    assert look(0.8, 0.08) == ([], True)


def test_one_that_never_rests_gives_way_until_it_does(look):
    look(0.5)
    assert look(0.8, 0.2, n=4) == (BREATH * 4, True)
    assert look(0.8, 0.14) == (BREATH, True)  # not in a row
    assert look(0.8, 0.2, n=5) == ([*BREATH * 4, "ordinary"], False)
    assert look(0.8, 0.15, n=50) == ([], False)
    assert look(0.8, 0.08) == (["urgent"], True)


def test_whom_others_then_keep_from_running_leaves_them_a_second_of_each_one_and_a_half(look):
    look(0.5)
    for _ in range(3):
        assert look(1.0, n=4) == (BREATH * 4, True)
        assert look(1.0) == (["ordinary"], False)
        assert look(0.5, 0.5, n=9) == ([], False)
        assert look(0.5, 0.5) == (["urgent"], True)


def test_a_system_that_does_not_tell_of_waiting_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "require_urgency", lambda _: None)
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
        # who hands out connections, who answers, and its two helpers; none within a breath
        service.until(lambda: [policy for *_, policy in threads(service)].count(os.SCHED_RR) == 4)
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
        for task in list(Path(f"/proc/{process.pid}/task").iterdir()):
            with suppress(ProcessLookupError, psutil.NoSuchProcess):  # it has just ended
                policy = os.sched_getscheduler(int(task.name)) & ~os.SCHED_RESET_ON_FORK
                yield " ".join(process.cmdline()), int(task.name), policy
