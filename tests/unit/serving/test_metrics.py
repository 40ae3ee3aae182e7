"""Counters of several workers, told as one."""

import multiprocessing

from recbench.serving.metrics import Metrics, shared_metrics


def told(metrics):
    lines = metrics.text().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def workers(n):
    shared = shared_metrics(multiprocessing.get_context("spawn"), n)
    return [Metrics(shared, number) for number in range(n)], shared


def test_any_worker_tells_the_sum_of_all():
    (one, two), _ = workers(2)
    one.answered("recommend", 200, 0.0015)
    two.answered("recommend", 200, 0.0035)
    two.answered("recommend", 503, 5.0)
    two.count("recbench_shed_total")
    for metrics in (one, two):
        lines = told(metrics)
        assert lines['recbench_requests_total{route="recommend",status="200"}'] == "2"
        assert lines['recbench_requests_total{route="recommend",status="503"}'] == "1"
        assert lines["recbench_shed_total"] == "1"


def test_latencies_add_up_from_bucket_to_bucket():
    (metrics,), _ = workers(1)
    for seconds in (0.0005, 0.0015, 0.0035, 5.0):
        metrics.answered("score", 200, seconds)
    lines = told(metrics)
    buckets = {
        bound: lines[f'recbench_request_seconds_bucket{{route="score",le="{bound}"}}']
        for bound in ("0.0005", "0.001", "0.002", "0.004", "1", "+Inf")
    }
    assert list(buckets.values()) == ["1", "1", "2", "3", "3", "4"]  # at most the bound
    assert lines['recbench_request_seconds_count{route="score"}'] == "4"
    assert float(lines['recbench_request_seconds_sum{route="score"}']) == 5.0055


def test_each_worker_says_which_release_it_serves():
    (one, two), _ = workers(2)
    one.serve("20260131T120000Z-0a1b2c3d")
    two.serve("20260131T120000Z-0a1b2c3d")
    two.serve("short")
    assert 'recbench_release_info{worker="1",release="short"}' in told(one)
    assert 'recbench_release_info{worker="0",release="20260131T120000Z-0a1b2c3d"}' in told(two)


def test_large_counts_are_told_whole():
    (metrics,), _ = workers(1)
    metrics.exposures("queued", 123_456_789)
    assert told(metrics)['recbench_exposures_total{outcome="queued"}'] == "123456789"


def test_the_slowest_load_stands_for_all():
    (one, two), _ = workers(2)
    one.put("recbench_load_seconds", 2.5)
    two.put("recbench_load_seconds", 1.0)
    assert told(one)["recbench_load_seconds"] == "2.5"


def test_ended_connections_are_counted_for_whoever_hands_them_out():
    (_, two), shared = workers(2)
    two.closed_one()
    assert list(shared.closed) == [0, 1]
