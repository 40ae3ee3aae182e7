"""Why work on a cluster came to nothing, in words."""

from concurrent.futures import CancelledError
from types import SimpleNamespace

from recbench.cluster.failures import explained

MIB = 2**20


def killed(n_failures):
    """What Dask raises when one more than ``n_failures`` workers of 400 MiB died."""
    worker = SimpleNamespace(address="tcp://127.0.0.1:9", memory_limit=400 * MIB)
    return SimpleNamespace(allowed_failures=n_failures, last_worker=worker)


def client(*held):
    """A client whose cluster ended workers that held so many MiB."""
    events = [(0.0, {"worker": "w", "pid": 1, "rss": each * MIB}) for each in held]
    return SimpleNamespace(get_events=lambda topic: events)


def test_workers_that_just_died_are_counted_and_the_last_one_named():
    found = explained(killed(3), client())
    assert found == "all 4 workers that tried died, the last one at tcp://127.0.0.1:9"


def test_workers_that_ran_out_of_memory_are_told_with_what_they_held():
    found = explained(killed(1), client(111, 385, 396))  # the first one: of an earlier task
    assert "all 2 workers that tried ran out of memory: they held 385, 396 MiB of 400 MiB" in found


def test_a_lost_connection_and_a_cancellation_are_told_apart():
    lost = CancelledError()
    lost.reason = "scheduler-connection-lost"
    assert "connection to the scheduler was lost" in explained(lost, client())
    assert explained(CancelledError("by hand"), client()) == "it was cancelled: by hand"


def test_what_a_nanny_tells_a_moment_later_is_waited_for():
    told = iter([[(0.0, {"worker": "w", "pid": 1, "rss": 385 * MIB})]])
    late = client(385, 396)
    answers = SimpleNamespace(get_events=lambda topic: next(told, late.get_events(topic)))
    assert "they held 385, 396 MiB of 400 MiB" in explained(killed(1), answers)
