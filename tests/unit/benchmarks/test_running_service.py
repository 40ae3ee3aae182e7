"""The real service as a process of its own, and what benches ask of it."""

import json

import psutil
import pytest

from recbench.benchmarks import running_service
from recbench.benchmarks.running_service import RunningService
from recbench.benchmarks.service_load import Questions, by_clients, saturation_per_s
from recbench.benchmarks.swap import swap_under_load
from recbench.errors import JobError
from recbench.serving.load import load_process


@pytest.fixture(scope="module")
def running(tiny_served):
    with RunningService.start(tiny_served.workspace, workers=1) as service:
        yield service


@pytest.fixture(scope="module")
def pool():
    with load_process() as executor:
        yield executor


@pytest.fixture(scope="module")
def questions(tiny_served):
    return Questions(tiny_served.releases[0], n_users=20, k=5)


def test_it_is_ready_and_has_memory_and_children_of_its_own(running):
    assert running.is_ready()
    assert running.cold_start_s > 0
    assert running.memory_bytes() > 10 * 2**20
    assert running.cpu_s() > 0


def test_its_own_memory_is_that_of_its_processes_that_answer(tiny_served, monkeypatch):
    with RunningService.start(tiny_served.workspace, workers=1) as service:
        own = service.own_memory_bytes()
        with RunningService.start(tiny_served.workspace, workers=1):  # of the same libraries
            own_then = service.own_memory_bytes()
        monkeypatch.setattr(running_service, "_answers", lambda _: True)
        of_all = service.own_memory_bytes()
    assert own_then == pytest.approx(own, rel=0.05)
    assert of_all > own_then + 2**20  # what lays out releases, even before it has imported


def test_requests_are_of_users_with_full_histories_just_after_the_watermark(questions, tiny_served):
    asked = json.loads(questions.bodies[0])
    assert asked["user_id"] == questions.users[0]
    assert asked["k"] == 5
    watermark_us = tiny_served.releases[0].manifest.watermark_us
    assert round(questions.at.timestamp() * 1e6) == watermark_us + 1
    assert asked["context"] == {"ts": questions.at.isoformat()}


def test_more_clients_are_a_row_each(running, pool, questions):
    table, answers = by_clients(pool, running.target, questions.bodies, clients=[1, 2], seconds=0.3)
    assert table["clients"].to_list() == [1, 2]
    assert table["errors"].to_list() == [0, 0]
    assert table["requests"].to_list() == [len(answers[n].frame) for n in (1, 2)]
    assert saturation_per_s(table) == table["answered_per_s"].max()


def test_a_rate_with_errors_is_no_rate(running, pool, questions):
    table, _ = by_clients(pool, running.target, [b"no JSON"], clients=[1], seconds=0.1)
    with pytest.raises(JobError, match="had errors: .*'clients': 1"):
        saturation_per_s(table)


@pytest.mark.slow
@pytest.mark.alone  # a release that is laid out in idle time only is overtaken by the next one
def test_releases_are_swapped_under_load_and_every_answer_verified(
    running, pool, questions, tiny_served
):
    names = [release.manifest.release for release in tiny_served.releases]
    swapped = swap_under_load(
        running.target,
        questions,
        names[1:],
        registry=tiny_served.registry,
        pool=pool,
        per_s=50,
        every_s=3.0,
    )
    figures = swapped.figures()
    assert figures["failed_requests"] == figures["mixed_releases"] == figures["fallbacks"] == 0
    assert figures["swaps"] == 2
    assert figures["recall_at_k"] == 1.0
    assert [name for name, _ in swapped.published] == names[1:]
    # the first is due after three seconds, by the publisher's clock, which starts a little later
    assert 0 < swapped.published[0][1] < swapped.published[1][1]
    assert figures["published_to_served_s"] > 0
    assert (
        swapped.answers.frame.sort("number")["release"].unique(maintain_order=True).to_list()
        == names
    )


def test_it_ends_with_its_workers(tiny_served):
    service = RunningService.start(tiny_served.workspace, workers=2)
    family = [service.process.pid, *(p.pid for p in psutil.Process(service.process.pid).children())]
    service.stop()
    assert len(family) >= 2
    assert not any(psutil.pid_exists(pid) for pid in family)
    assert not service.is_ready()
    assert service.memory_bytes() == service.own_memory_bytes() == 0


def test_a_service_that_does_not_start_says_why(tiny_served):
    nowhere = str(tiny_served.workspace / "no token")
    with pytest.raises(JobError, match="(?s)does not start.*no token cannot be read"):
        RunningService.start(tiny_served.workspace, options=["--token-file", nowhere])
