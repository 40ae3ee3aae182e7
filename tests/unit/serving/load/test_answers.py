"""The figures that are told of a load."""

import json

import numpy as np
import pytest

from recbench.serving.load import Answers
from recbench.serving.load.answers import latency_percentiles
from recbench.serving.load.exchange import Exchanged


def replied(number, latency_s, *, fallback=None, release="R", late_s=0.0):
    body = {"release": release, "items": [{"item_id": 1, "score": 2.5}], "fallback": fallback}
    sent, done = number + late_s, number + latency_s
    return Exchanged(number, float(number), sent, done, None, 200, json.dumps(body).encode())


def answers_of(*exchanged, began_at=0.0):
    return Answers.of(exchanged, n_bodies=2, began_at=began_at, tool_cpu_s=0.5)


def test_a_summary_counts_what_failed_and_times_what_was_answered():
    failed = Exchanged(3, 3.0, 3.0, 4.0, "timeout", 0, b"")
    shed = Exchanged(2, 2.0, 2.0, 2.5, None, 503, b"")
    answers = answers_of(
        replied(0, 0.001), replied(1, 0.003, fallback="popularity", late_s=0.002), shed, failed
    )
    summary = answers.summary()
    assert summary["requests"] == 4
    assert summary["errors"] == 2
    assert answers.errors() == {"http 503": 1, "timeout": 1}
    assert summary["fallbacks"] == 1
    # the last one was due after three seconds, and the last reply came after four
    assert summary["offered_per_s"] == 4 / 3
    assert summary["answered_per_s"] == 0.5
    assert summary["tool_cpu_frac"] == 0.125
    assert summary["p50_ms"] == pytest.approx(1.0)
    assert summary["p99_ms"] == summary["max_ms"] == pytest.approx(3.0)
    assert summary["late_p99_ms"] == pytest.approx(2.0)


def test_rows_say_what_was_asked_and_what_came():
    frame = answers_of(replied(0, 0.25), replied(3, 0.5)).frame
    assert frame["request"].to_list() == [0, 1]
    assert frame["items"].to_list() == [[1], [1]]
    assert frame["scores"].to_list() == [[2.5], [2.5]]
    assert frame["latency_ms"].to_list() == [250.0, 500.0]


def test_loads_one_after_the_other_are_joined_on_the_clock_of_the_first():
    first = answers_of(replied(0, 0.25), replied(1, 0.5), began_at=100.0)
    joined = Answers.joined([first, answers_of(replied(0, 0.125), began_at=110.0)])
    assert joined.frame["number"].to_list() == [0, 1, 2]
    assert joined.frame["due_s"].to_list() == [0.0, 1.0, 10.0]
    assert joined.frame["done_s"].to_list() == [0.25, 1.5, 10.125]
    assert joined.frame["latency_ms"].to_list() == [250.0, 500.0, 125.0]
    assert (joined.began_at, joined.tool_cpu_s) == (100.0, 1.0)


def test_percentiles_are_latencies_that_occurred():
    latency_ms = np.random.default_rng(0).permutation(np.arange(1.0, 10_001.0))
    assert latency_percentiles(latency_ms) == {
        "p50_ms": 5_000.0,
        "p90_ms": 9_000.0,
        "p99_ms": 9_900.0,
        "p999_ms": 9_990.0,
        "max_ms": 10_000.0,
    }


def test_no_answers_have_no_latency():
    summary = answers_of().summary()
    assert np.isnan(summary["p99_ms"])
    assert summary["requests"] == summary["errors"] == summary["answered_per_s"] == 0
