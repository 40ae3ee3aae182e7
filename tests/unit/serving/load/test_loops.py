"""Closed and open loops against a real server on loopback."""

import json
import threading
import time
from functools import partial

import numpy as np
import polars as pl
import pytest

from recbench import priority
from recbench.errors import InputError
from recbench.loopback import free_port
from recbench.serving.load import Target, closed_loop, load_process, open_loop
from recbench.serving.load.exchange import exchange

BODIES = [json.dumps({"user_id": user, "k": 1}).encode() for user in range(5)]


def test_a_closed_loop_asks_all_bodies_in_turns_and_stops_at_its_bounds(serve):
    server = serve()
    answers = closed_loop(Target(port=server.server_port), BODIES, clients=2, most=23)
    assert len(answers.frame) == len(server.asked) == 23
    assert answers.errors() == {}
    ordered = answers.frame.sort("number")
    assert ordered["request"].to_list() == [number % 5 for number in range(23)]
    assert sorted(asked["user_id"] for asked in server.asked) == sorted(n % 5 for n in range(23))
    assert set(answers.frame["release"]) == {"R1"}
    assert answers.frame["items"].to_list() == [[7]] * 23
    assert answers.frame["scores"].to_list() == [[0.5]] * 23


def test_a_closed_loop_ends_in_time(serve):
    server = serve()
    answers = closed_loop(Target(port=server.server_port), BODIES, clients=2, seconds=0.2)
    assert answers.frame["due_s"].max() < 0.2
    assert len(answers.frame) > 1


def test_an_open_loop_times_from_when_a_request_was_due(serve, good):
    """A server that stalls once: whoever was due meanwhile waited, though nobody could be sent."""
    stall_s = 0.3

    def answer(body, number):
        if number == 20:
            time.sleep(stall_s)
        return 200, good

    target = Target(port=serve(answer).server_port)
    answers = open_loop(target, BODIES, per_s=200, seconds=0.5, connections=1)
    times = answers.frame.select(
        from_due="latency_ms", from_sent=1e3 * (pl.col("done_s") - pl.col("sent_s"))
    )
    # about 60 requests were due within the stall, one was under way
    stalled = times.filter(pl.col("from_sent") > 0.9e3 * stall_s)
    assert 1 <= len(stalled) < 10
    assert (times["from_due"] > 0.2e3 * stall_s).sum() > 20
    assert answers.frame["latency_ms"].max() >= 1e3 * stall_s
    assert (answers.frame["sent_s"] >= answers.frame["due_s"]).all()
    assert answers.summary()["late_p99_ms"] > 0.5e3 * stall_s


def test_what_cannot_be_sent_in_time_is_given_up_as_unsent(serve, good):
    last_s = 2.0

    def answer(body, number):
        time.sleep(1.1 * last_s)
        return 200, good

    target = Target(port=serve(answer).server_port)
    requests, due = [target.request(body) for body in BODIES], [0.0, *np.linspace(0.1, 1.9, 39)]
    done, _ = exchange(
        target,
        requests,
        lambda number, _: due[number] if number < len(due) else None,
        connections=1,
        timeout_s=60.0,
        last_s=last_s,
    )
    assert [(one.number, one.error) for one in done] == [
        (0, None),
        *((number, "unsent") for number in range(1, 40)),
    ]


def test_each_failure_is_counted_by_its_kind_and_the_load_goes_on(serve, good):
    strange = {
        0: (503, {"error": "busy"}),
        1: ("hang up", None),
        2: (200, b"no JSON"),
        3: (200, {"items": []}),  # names no release
        4: (500, b""),
    }
    server = serve(lambda body, number: strange.get(number, (200, good)))
    answers = closed_loop(Target(port=server.server_port), BODIES, clients=1, most=10)
    assert answers.errors() == {"malformed": 2, "http 503": 1, "closed": 1, "http 500": 1}
    assert len(answers.answered) == 5


def test_a_request_without_an_answer_times_out(serve, good):
    over = threading.Event()

    def answer(body, number):
        if number == 1:
            over.wait()
        return 200, good

    target = Target(port=serve(answer).server_port)
    answers = closed_loop(target, BODIES, clients=1, most=3, timeout_s=3.0)
    over.set()
    assert answers.errors() == {"timeout": 1}
    timed_out = answers.frame.filter(error="timeout")
    assert timed_out["number"].to_list() == [1]
    assert timed_out["latency_ms"][0] >= 3_000


def test_nobody_there_is_refused_without_a_storm_of_attempts():
    answers = closed_loop(Target(port=free_port()), BODIES, clients=2, seconds=0.25)
    assert set(answers.frame["error"]) == {"refused"}
    assert len(answers.frame) <= 2 * 4  # a refused connection rests for a tenth of a second


def test_a_kept_connection_that_the_server_ended_meanwhile_is_no_failure(serve, monkeypatch):
    monkeypatch.setattr("recbench.serving.load.exchange.IDLE_S", 0.0)
    server = serve()
    ended = []

    class Impatient(server.RequestHandlerClass):
        def handle(self):
            self.handle_one_request()  # and keeps to itself that there will be no other

    def shut_down(request, shut=server.shutdown_request):
        shut(request)
        ended.append(request)

    server.RequestHandlerClass, server.shutdown_request = Impatient, shut_down

    def due(number, now_s):
        if number == 3 or now_s > 60:
            return None
        return now_s if len(ended) == number else now_s + 0.01

    target = Target(port=server.server_port)
    requests = [target.request(body) for body in BODIES]
    done, _ = exchange(target, requests, due, connections=1, timeout_s=60.0, last_s=60.0)
    assert [(one.error, one.status) for one in done] == [(None, 200)] * 3


def test_the_token_goes_along(serve):
    server = serve()
    closed_loop(Target(port=server.server_port, token="abc"), BODIES, clients=1, most=1)
    assert server.headers[0]["Authorization"] == "Bearer abc"


def test_a_load_runs_in_a_process_of_its_own(serve):
    target = Target(port=serve().server_port)
    with load_process() as pool:
        answers = pool.submit(open_loop, target, BODIES, per_s=100, seconds=0.3).result()
    assert answers.errors() == {}
    assert abs(answers.began_at - time.time()) < 60
    assert answers.tool_cpu_s > 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"bodies": []}, "`bodies` is empty"),
        ({"clients": 0}, "must be 1 to 512, got 0"),
        ({"clients": 513}, "got 513"),
        ({"seconds": 0}, "got 0 and"),
        ({"seconds": 4_000}, "at most 3600 s with a positive timeout, got 4000"),
        ({"timeout_s": 0}, "got 10.0 and 0"),
    ],
)
def test_a_load_without_bounds_is_refused(options, why):
    arguments = {"bodies": BODIES} | options
    with pytest.raises(InputError, match=why):
        closed_loop(Target(port=1), **arguments)


def test_an_open_loop_of_too_many_requests_is_refused():
    with pytest.raises(InputError, match="at most 1000000 requests, got 2000000"):
        open_loop(Target(port=1), BODIES, per_s=2_000, seconds=1_000)


@pytest.mark.parametrize(
    "load", [partial(closed_loop, clients=1, most=3), partial(open_loop, per_s=50, seconds=0.1)]
)
def test_only_a_load_that_is_asked_to_goes_first_and_only_while_it_lasts(serve, monkeypatch, load):
    changes = []
    monkeypatch.setattr(priority, "be_urgent", changes.append)
    monkeypatch.setattr(priority, "be_ordinary", lambda: changes.append("ordinary"))
    target = Target(port=serve().server_port)
    load(target, BODIES)
    assert changes == []
    assert load(target, BODIES, real_time=True).errors() == {}
    assert changes == [priority.ASKING, "ordinary"]
    assert priority.ASKING > priority.ANSWERING  # or a service's threads would hold it up


def test_a_load_without_leave_to_go_first_says_so_and_sends_nothing(serve, monkeypatch):
    def refuse(_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(priority, "be_urgent", refuse)
    server = serve()
    with pytest.raises(InputError, match="No real-time priority here: .*not permitted"):
        open_loop(Target(port=server.server_port), BODIES, per_s=50, real_time=True)
    assert list(server.asked) == []
