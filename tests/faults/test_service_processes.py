"""The processes of a service: too much to do, killed, or asked to end."""

import http.client
import os
import signal
import socket
import time
from contextlib import suppress

import psutil
import pytest


def workers_of(service):
    family = psutil.Process(service.process.pid).children()
    return [child for child in family if "spawn_main" in " ".join(child.cmdline())]


def test_too_many_waiting_requests_are_shed_and_the_others_answered(serve):
    service = serve("--max-in-flight", "5")
    clients = [
        http.client.HTTPConnection("127.0.0.1", service.port, timeout=120) for _ in range(60)
    ]
    for client in clients:
        assert service.post("/recommend", {}, connection=client).status == 200
    (worker,) = workers_of(service)
    worker.suspend()
    for client in clients:  # all of them come at once
        client.request("POST", "/recommend", b"{}")
    worker.resume()
    replies = [client.getresponse() for client in clients]
    shed = [reply for reply in replies if reply.status == 503]
    answered = [reply for reply in replies if reply.status == 200]
    assert len(shed) + len(answered) == 60
    assert len(answered) >= 5
    assert len(shed) >= 10
    assert {reply.getheader("retry-after") for reply in shed} == {"1"}
    assert service.metric("recbench_shed_total") == len(shed)
    assert service.get("/health/live").status == 200
    for client in clients:
        client.close()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_the_other_one_serves(serve):
    service = serve("--workers", "2")
    victim = workers_of(service)[0]
    victim.kill()
    victim.wait(120)
    for _ in range(20):
        with suppress(ConnectionError, http.client.HTTPException):  # until it has been noticed
            assert service.recommend(user_id=1)["items"]
            break
    for _ in range(20):
        assert service.recommend(user_id=1)["items"]
    service.until(lambda: len(workers_of(service)) == 2)
    service.until(lambda: service.metric("recbench_ready") == 2)
    assert service.stop() == 0


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(serve):
    service = serve("--workers", "2")
    workers = workers_of(service)
    os.kill(service.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=120)
    assert alive == []


def test_what_was_begun_is_answered_when_it_is_asked_to_end(serve):
    service = serve("--timeout", "120s", "--drain", "60s")  # the body may take its time
    with socket.create_connection(("127.0.0.1", service.port), timeout=120) as client:
        client.sendall(b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        service.until(lambda: service.metric("recbench_in_flight") >= 1)
        service.process.send_signal(signal.SIGTERM)
        _until(lambda: not _answers(service.port))  # nobody else is let in
        client.sendall(b"}")
        answer = client.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert service.process.wait(120) == 0


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except (ConnectionRefusedError, ConnectionResetError):  # the latter: just as it closed
        return False
    return True


def _until(holds, *, seconds=120):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)
