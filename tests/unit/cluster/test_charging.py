import time
from types import SimpleNamespace

import pytest
from distributed import Client, LocalCluster

from recbench.cluster import charging
from recbench.cluster.charges import CHARGES_VARIABLE, charges_in
from recbench.cluster.charging import Account, Ledger
from recbench.cluster.energy import WorkerJoules
from recbench.cluster.nanny import PatientNanny
from recbench.cluster.ranks import ranks_on
from recbench.cluster.run_client import RunClient


class Used:
    """Stands for the process's clocks and the GPU's counter."""

    def __init__(self):
        self.cpu_s, self.at, self.gpu_joules = 0.0, 0.0, 0.0

    def pass_(self, *, cpu_s, seconds, gpu_joules=0.0):
        self.cpu_s, self.at = self.cpu_s + cpu_s, self.at + seconds
        self.gpu_joules += gpu_joules


@pytest.fixture
def used(monkeypatch):
    made = Used()
    monkeypatch.setattr(charging, "_cpu_s", lambda: made.cpu_s)
    monkeypatch.setattr(charging, "time", SimpleNamespace(monotonic=lambda: made.at))
    return made


@pytest.fixture
def ledger(used):
    """A CPU second is 10 J."""

    class Ten(WorkerJoules):
        def cpu(self, cpu_s):
            return 10 * cpu_s

    return Ledger(Ten("ten", None, lambda: 0.0, lambda: used.gpu_joules))


@pytest.fixture
def folder(tmp_path):
    """``folder(name)``: where the run of this name has its charges."""
    return lambda name: tmp_path / name / "energy" / "0"


def account(folder, kind="tasks"):
    folder.parent.parent.mkdir(exist_ok=True)
    return Account(str(folder), kind)


def used_by(folder, kind="tasks"):
    held = charges_in(folder)[kind]
    return held["cpu_s"], held["worker_s"], held["joules"]


def test_what_is_used_while_tasks_execute_is_shared_among_them(ledger, used, folder):
    used.pass_(cpu_s=5.0, seconds=5.0)  # nobody's
    ledger.begin("a", account(folder("a")))
    used.pass_(cpu_s=1.0, seconds=2.0)
    ledger.begin("b", account(folder("b")))
    used.pass_(cpu_s=2.0, seconds=3.0, gpu_joules=8.0)
    ledger.end("a")
    used.pass_(cpu_s=1.0, seconds=1.0)
    ledger.end("b")
    used.pass_(cpu_s=9.0, seconds=9.0)  # nobody's

    assert used_by(folder("a")) == (2.0, 5.0, 24.0)  # 1 + 2/2; 2 + 3; 20 and half of the GPU's 8
    assert used_by(folder("b")) == (2.0, 4.0, 24.0)


def test_a_task_that_no_run_has_sent_takes_its_share(ledger, used, folder):
    ledger.begin("a", account(folder("a")))
    ledger.begin("stranger", None)
    used.pass_(cpu_s=2.0, seconds=1.0)
    ledger.end("stranger")
    ledger.end("a")

    assert used_by(folder("a"))[0] == 1.0


def test_a_long_task_is_told_as_it_goes(ledger, used, folder):
    ledger.begin("a", account(folder("a")))
    used.pass_(cpu_s=1.0, seconds=1.0)
    ledger.write()
    assert used_by(folder("a"))[0] == 1.0
    used.pass_(cpu_s=1.0, seconds=1.0)
    ledger.write()

    assert used_by(folder("a"))[0] == 2.0


def test_a_rank_is_charged_beside_the_task_that_watches_it(ledger, used, folder):
    whose = account(folder("a"), "ranks")
    ledger.begin("ddp-1", whose)
    used.pass_(cpu_s=0.5, seconds=10.0)
    ledger.rank(whose, 9.0)
    ledger.end("ddp-1")

    assert used_by(folder("a"), "ranks") == (9.5, 10.0, 95.0)


def quiet(*_):
    pass


def burn(seconds):
    """The CPU seconds that it took."""
    began = time.process_time()
    while (used := time.process_time() - began) < seconds:
        pass
    return used


@pytest.fixture(scope="module")
def address():
    """Of the scheduler of one worker process."""
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        worker_class=PatientNanny,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def client(address, folder, monkeypatch):
    """Of a run."""
    folder("run").parent.parent.mkdir()
    monkeypatch.setenv(CHARGES_VARIABLE, str(folder("run")))
    with RunClient(address) as made:
        yield made


def test_whatever_a_run_sends_is_charged_to_it_and_nothing_else(client, address, folder):
    import dask

    with Client(address) as stranger:
        strange_s = stranger.submit(burn, 0.3, pure=False).result()
    assert charges_in(folder("run")) == {}

    own_s = client.submit(burn, 0.2, pure=False).result()
    own_s += sum(client.gather(client.map(burn, [0.2], pure=False)))
    own_s += client.compute(dask.delayed(burn)(0.2)).result()
    tasks = charges_in(folder("run"))["tasks"]
    assert tasks["workers"] == 1
    assert own_s <= tasks["cpu_s"] < own_s + strange_s
    assert tasks["joules"] > 0


def test_ranks_are_charged_to_the_run_that_launched_them(
    rank_client, folder, tmp_path, monkeypatch
):
    def work(rank):
        end = time.process_time() + 0.5
        while time.process_time() < end:
            pass
        return rank.n_ranks

    folder("run").parent.parent.mkdir()
    monkeypatch.setenv(CHARGES_VARIABLE, str(folder("run")))
    with RunClient(rank_client.scheduler.address) as client:
        ranks = ranks_on(client, minimum=2, maximum=2)
        place = tmp_path / "train"
        assert ranks.run_ranks(work, folder=place, accelerator="cpu", on_told=quiet) == 2
    assert charges_in(folder("run"))["ranks"]["cpu_s"] >= 0.9  # what is seen of them, 0.2 s apart


def test_outside_of_a_run_nothing_is_marked(address, monkeypatch):
    monkeypatch.delenv(CHARGES_VARIABLE, raising=False)
    with RunClient(address) as client:
        assert client.submit(burn, 0.01, pure=False).result()
        assert client.charges is None
