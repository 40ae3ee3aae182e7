"""Launching ranks by itself; what they train is in `unit/training/test_distributed.py`."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import cloudpickle
import psutil
import pytest
from torch.distributed import HashStore

from recbench.cluster import supervise
from recbench.cluster.orders import RankOrders
from recbench.cluster.rank_process import _await_all
from recbench.cluster.ranks import ranks_on
from recbench.errors import InputError, JobError

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # ranks cannot import tests


def quiet(*_):
    pass


@pytest.fixture
def run(tmp_path):
    return partial(_run, folder=tmp_path)


def _run(cluster, work, *, folder, on_told=quiet):
    return cluster.run_ranks(work, folder=folder, accelerator="cpu", on_told=on_told)


def test_numbers_that_contradict_each_other_are_refused(rank_client):
    for minimum, maximum in ((0, None), (3, 2)):
        with pytest.raises(InputError, match=f"got {minimum} and {maximum}"):
            ranks_on(rank_client, minimum=minimum, maximum=maximum)


def test_what_ranks_tell_arrives_in_order_and_rank_0_answers(ranks, run):
    def count(rank):
        for number in range(50):
            rank.tell("number", number + 100 * rank.number)
        return rank.number, rank.n_ranks

    told = []
    assert run(ranks(2), count, on_told=lambda *pair: told.append(pair)) == (0, 2)
    values = [value for _, value in told]
    assert [value for value in values if value < 100] == list(range(50))
    assert sorted(values) == [*range(50), *range(100, 150)]


def test_a_rank_is_forked_from_the_server_and_not_from_the_worker(ranks, run):
    def parent(rank):
        return psutil.Process().parent().cmdline()

    assert "recbench.cluster.fork_server" in run(ranks(1), parent)


def test_no_rank_outlives_its_call(ranks, run):
    def linger(rank):
        import os

        rank.tell("process", os.getpid())
        time.sleep(600)

    class Enough(Exception):
        pass

    processes = []

    def told(_, process):
        processes.append(process)
        if len(processes) == 2:
            raise Enough

    with pytest.raises(Enough):
        run(ranks(2), linger, on_told=told)
    until = time.monotonic() + 120
    while any(psutil.pid_exists(process) for process in processes):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_a_rank_raises_itself_reaches_the_caller(ranks, run):
    def fail(rank):
        if rank.number == 1:
            raise JobError("not today")
        time.sleep(600)

    with pytest.raises(JobError, match="not today") as raised:
        run(ranks(2), fail)
    assert "Rank 1 of 2 at " in raised.value.__notes__[0]


def test_failures_in_a_row_end_it(ranks, run):
    def die(rank):
        import os

        os.kill(os.getpid(), 9)

    notes, cluster = [], replace(ranks(2), max_failures=2)
    with pytest.raises(JobError, match="2 failures in a row without a new checkpoint.*signal 9"):
        run(cluster, die, on_told=lambda *told: notes.append(told))
    ((name, note),) = notes
    assert name == "note"
    assert "it was killed by signal 9; training goes on from the last checkpoint" in note


def test_a_rank_that_ends_before_it_is_watched_has_done_its_work(ranks, run, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert supervise._found(ended.pid) is None
    monkeypatch.setattr(supervise, "_found", lambda _: None)
    assert run(ranks(1), lambda rank: rank.n_ranks) == 1


def test_an_error_of_who_watches_ranks_is_told(ranks, run, monkeypatch):
    def fail(_):
        raise ValueError("no eyes")

    monkeypatch.setattr(supervise, "_found", fail)
    with pytest.raises(JobError, match=r"Rank 0 of 1 at .*: watching it failed: ValueError\('no e"):
        run(replace(ranks(1), max_failures=1), lambda rank: rank.number)


def test_no_rank_works_before_all_have_joined():
    store = HashStore()
    first_orders = RankOrders(
        number=0,
        n_ranks=2,
        host="",
        port=0,
        attempt="",
        work="",
        backend="gloo",
        collective_timeout_s=60,
    )
    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(_await_all, first_orders, store)
        with pytest.raises(TimeoutError):
            first.result(timeout=0.2)
        _await_all(replace(first_orders, number=1), store)
        first.result(timeout=60)


def test_a_folder_that_workers_do_not_share_is_named(ranks, run, tmp_path):
    def hide(rank):
        if rank.number == 0:
            (tmp_path / "work.pickle").unlink()
            rank.tell("saved", 0)
            import os

            os.kill(os.getpid(), 9)
        time.sleep(600)

    with pytest.raises(InputError, match="is not there where a rank runs; give `checkpoint`"):
        run(ranks(2), hide)


def test_a_worker_that_runs_a_notebook_gets_no_rank(ranks, run, rank_client):
    from distributed import Event

    def report(rank):
        return rank.n_ranks

    assert run(replace(ranks(1), maximum=None), report) == 3
    over = Event("over", client=rank_client)
    job = rank_client.submit(over.wait, 60, key="job-notebook")
    while not any("job-notebook" in keys for keys in rank_client.processing().values()):
        time.sleep(0.01)
    try:
        assert run(replace(ranks(1), maximum=None), report) == 2
    finally:
        over.set()
    assert job.result()


def test_with_a_notebook_on_every_worker_a_rank_works_beside_one(ranks, run, rank_client):
    from distributed import Event, secede

    over = Event("all-over", client=rank_client)

    def notebook():
        secede()  # as the supervisor of a notebook does
        over.wait(60)

    workers = list(rank_client.processing())
    jobs = [
        rank_client.submit(notebook, key=f"job-{number}", workers=[worker], pure=False)
        for number, worker in enumerate(workers)
    ]
    while not all(rank_client.processing().values()):
        time.sleep(0.01)
    try:
        assert run(ranks(1), lambda rank: rank.n_ranks) == 1
    finally:
        over.set()
    rank_client.gather(jobs)


def test_a_notebook_that_comes_to_a_ranks_worker_stops_no_gang(ranks, run, rank_client):
    notes, jobs = [], []

    def work(rank):
        rank.tell("saved", 0)
        for _ in range(30):
            time.sleep(0.1)
            if rank.asked_to_pause():
                return "paused"
        return "done"

    def told(name, value):
        if name == "note":
            notes.append(value)
        elif not jobs:
            workers = list(rank_client.processing())
            jobs.extend(
                rank_client.submit(int, key=f"job-late-{worker}", workers=[worker], pure=False)
                for worker in workers
            )

    assert run(ranks(3), work, on_told=told) == "done"
    assert not notes
    rank_client.gather(jobs)


def test_without_enough_workers_it_says_so(ranks, run):
    cluster = replace(ranks(7), wait_s=0.2)
    with pytest.raises(JobError, match="7 ranks need as many workers; after 0.2 s there are"):
        run(cluster, print)
