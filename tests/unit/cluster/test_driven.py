import pytest

from recbench.cluster.driven import ByDeadline
from recbench.cluster.load import ClusterLoad
from recbench.cluster.scaling import ScalingPolicy


def load(at_s, *, n_workers=0, n_pinned=0, n_waiting=0, n_running=0, work_s=0.0):
    return ClusterLoad(
        at_s=at_s,
        n_workers=n_workers,
        n_pinned=n_pinned,
        n_waiting=n_waiting,
        n_running=n_running,
        work_s=work_s,
        dask_target=0,
    )


def driven(**dials):
    given = {"minimum": 0, "deadline_s": 1000, "margin_s": 100, "safety": 1.0} | dials
    return ByDeadline(ScalingPolicy(**given), startup_s=0.0)


def test_work_that_nobody_does_becomes_urgent():
    ask = driven()

    # 1,800 s in tasks of 18 s: 900 s are left at first, then 450; in the last 100 a worker does
    # five whole tasks, so a hundred need twenty
    assert ask(load(0, n_waiting=100, work_s=1800)) == 2
    assert ask(load(450, n_waiting=100, work_s=1800)) == 4
    assert ask(load(800, n_waiting=100, work_s=1800)) == 20


def test_work_that_comes_later_is_due_later():
    ask = driven()
    ask(load(0, n_waiting=100, work_s=900))

    # by 1,000 the first 900 in 400; by 1,500 both in 900: the first decides
    assert ask(load(500, n_waiting=200, work_s=1800)) == 3


def test_what_workers_did_meanwhile_is_taken_from_the_oldest():
    ask = driven()
    ask(load(0, n_workers=2, n_running=2, n_waiting=98, work_s=1000))

    # two workers did 1,000 s in 500; the 1,000 that are there came meanwhile, due in 900
    assert ask(load(500, n_workers=2, n_running=2, n_waiting=98, work_s=1000)) == 2


def test_less_work_than_was_thought_is_believed():
    ask = driven()
    ask(load(0, n_waiting=100, work_s=9000))

    assert ask(load(10, n_waiting=10, work_s=100)) == 1


@pytest.mark.parametrize("n_pinned", [0, 3])
def test_idle_workers_go_after_their_patience_and_pinned_ones_never(n_pinned):
    ask = driven()
    ask.startup_s = 60.0
    idle = {"n_workers": 5, "n_pinned": n_pinned}

    assert ask(load(0, **idle)) == 5
    assert ask(load(60, **idle)) == 5
    assert ask(load(61, **idle)) == n_pinned


def test_a_worker_that_worked_between_has_not_been_idle_since():
    ask = driven()
    ask.startup_s = 60.0
    ask(load(0, n_workers=2))
    ask(load(50, n_workers=2, n_running=1, work_s=1.0))

    assert ask(load(70, n_workers=2)) == 1  # the other has been idle for 20 s


@pytest.mark.slow
def test_a_local_cluster_grows_for_its_deadline_and_shrinks_afterwards():
    import time

    from recbench.cluster.open import open_cluster

    # six tasks of 4 s are due within 13 s; margin and start leave time for two rounds
    policy = ByDeadline(
        ScalingPolicy(minimum=1, maximum=3, deadline_s=13, margin_s=1, safety=1.0), startup_s=2.0
    )
    with open_cluster("local", minimum=1, maximum=3, policy=policy) as client:
        client.submit(time.sleep, 0.5, pure=False).result()
        client.gather(client.map(time.sleep, [4.0] * 6, pure=False))
        most = len(client.scheduler_info()["workers"])
        until = time.monotonic() + 30
        while len(client.scheduler_info()["workers"]) > 1 and time.monotonic() < until:
            time.sleep(0.5)

        assert most > 1
        assert len(client.scheduler_info()["workers"]) == 1
