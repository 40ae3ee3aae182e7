"""Ranks that are killed, stopped, cut off, too fat or out of disk: the training ends as it would.

All at the same place of the same training: just after a checkpoint, with steps to go until the next
one. Each test asks for the weights of an undisturbed training and for each example once an epoch.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import islice

import cloudpickle
import numpy as np
import psutil
import pytest
import torch
from distributed import Client

from recbench.cluster.open import open_cluster
from recbench.cluster.ranks import ranks_on
from recbench.cluster.warm import WarmWorkers, warm_workers
from recbench.jobs.build import Cut, batches_for, new_towers
from recbench.loopback import free_port
from recbench.settings import Experiment, TowerSettings, TrainingSettings
from recbench.tables.log import EventLog
from recbench.training.fit import fit
from recbench.training.ledger import trained_examples
from recbench.training.sharded_checkpoints import latest_checkpoint, step_of

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # ranks cannot import tests

pytestmark = pytest.mark.slow

STEPS, SAVE_EVERY, STRIKE_AT = 24, 8, 8
IDLE = "candidates.prior.2.bias"  # without a gradient on paper; Adam makes a step of its rounding
MEMORY_BYTES = 900 * 2**20  # of a worker: thrice what a rank holds


@pytest.fixture(scope="module")
def client():
    """Two worker processes: what makes either useless leaves one to go on with."""
    with open_cluster("local", minimum=2, maximum=2, worker_memory_bytes=MEMORY_BYTES) as client:
        client.register_plugin(WarmWorkers())
        while len(warm_workers(client).usable) < 2:  # else ranks may begin with one
            time.sleep(0.1)
        yield client


def slowly(_):
    """A measure that always grows and takes its time, so that what strikes finds ranks busy."""
    time.sleep(0.1)
    return time.time()


class Struck:
    """Ranks of which something befalls one, once, just after a checkpoint."""

    def __init__(self, client, strike, *, least=2, most=2, stale_s=20.0):
        self.cluster = replace(ranks_on(client, minimum=least, maximum=most), stale_s=stale_s)
        self.strike = strike
        self.notes, self.struck = [], False

    def run_ranks(self, work, *, on_told, **options):
        def told(name, value):
            on_told(name, value)
            if name == "note":
                self.notes.append(value)
            if name == "saved" and value >= STRIKE_AT and not self.struck:
                self.struck = True
                self.strike()

        return self.cluster.run_ranks(work, on_told=told, **options)


def ranks_of(client):
    """(worker process, rank process) of each rank that lives."""
    found = []
    for worker in client.run(os.getpid).values():
        for server in psutil.Process(worker).children():
            if "recbench.cluster.fork_server" in server.cmdline():
                found += [(worker, rank.pid) for rank in server.children()]
    return found


@pytest.fixture(scope="module")
def made(tiny_events, tiny_items):
    """A maker of untrained towers, and batches."""
    experiment = Experiment(
        towers=TowerSettings(embedding_dim=8, hidden_dim=8),
        training=TrainingSettings(batch_size=16, n_uniform=20, n_cuts=6, table_updates="rows"),
    )
    data = EventLog("tiny", "masked", tiny_events, tiny_items, version=0)
    cut = Cut(
        at=data.watermark_us + 1,
        horizon_us=3 * 86_400_000_000,
        half_life_s=5 * 86_400.0,
    )
    batches = batches_for(data, data.events, cut, experiment=experiment)
    return lambda: new_towers(data, experiment), batches


@pytest.fixture(scope="module")
def alone(made):
    """The weights of one process that nothing befalls."""
    new, batches = made
    return fit(new(), batches, max_steps=STEPS).towers.state_dict()


@pytest.fixture
def train(made, alone, tmp_path):
    """Trains on a cluster, and compares with what one process trains."""
    new, batches = made

    def train(cluster, *, folder=tmp_path, evaluate=slowly):
        options = {"max_steps": STEPS, "evaluate_every": 2, "patience": STEPS}
        fitted = fit(
            new(),
            batches,
            evaluate=evaluate,
            checkpoint=folder,
            checkpoint_every=SAVE_EVERY,
            cluster=cluster,
            **options,
        )
        ours = fitted.towers.state_dict()
        for name in alone.keys() - {IDLE}:
            torch.testing.assert_close(ours[name], alone[name], rtol=1e-3, atol=1e-4)
        assert step_of(latest_checkpoint(folder)) == STEPS
        chunks = [chunk for epoch in range(STEPS) for chunk in batches.epoch(epoch)]
        expected = Counter(np.concatenate(list(islice(chunks, STEPS))).tolist())
        _, examples = trained_examples(folder)
        assert Counter(examples.tolist()) == expected  # nothing twice, nothing left out

    return train


def test_a_killed_rank_is_replaced(client, train):
    cluster = Struck(client, lambda: os.kill(ranks_of(client)[1][1], signal.SIGKILL))
    train(cluster)
    (note,) = cluster.notes
    assert "died: it was killed by signal 9; training goes on from the last checkpoint" in note


def test_a_stopped_rank_is_given_up(client, train):
    stopped = []

    def stop():
        stopped.append(ranks_of(client)[1][1])
        os.kill(stopped[0], signal.SIGSTOP)

    cluster = Struck(client, stop, stale_s=2.0)
    train(cluster)
    (note,) = cluster.notes
    assert "said nothing for 2 s" in note
    assert not psutil.pid_exists(stopped[0])


def test_a_lost_connection_to_the_scheduler_is_taken_up_again(client, train):
    def cut():
        client.loop.add_callback(client.scheduler_comm.comm.abort)

    cluster = Struck(client, cut)
    train(cluster)
    assert len(cluster.notes) == 1


SCHEDULER_AND_WORKER = """
import sys, time
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://",
                      host="127.0.0.1", scheduler_port=int(sys.argv[1]),
                      dashboard_address="127.0.0.1:0"):
        time.sleep(300)
"""


class Standalone:
    """A scheduler with a worker in a process of its own, at one address each time."""

    def __init__(self, folder):
        self.port = free_port()
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCHEDULER_AND_WORKER, str(self.port)],
            cwd=self.folder,
            stderr=subprocess.DEVNULL,
        )
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()


def test_training_goes_on_with_a_new_scheduler_and_worker_at_the_old_address(train, tmp_path):
    standalone = Standalone(tmp_path).start()

    def crash():
        standalone.kill()
        standalone.start()

    try:
        with Client(standalone.address, timeout=60) as client:
            cluster = Struck(client, crash, least=1, most=1)
            train(cluster, folder=tmp_path / "checkpoints")
            assert len(cluster.notes) == 1
    finally:
        standalone.kill()


def test_a_rank_with_too_much_memory_is_ended_and_others_go_on(client, train, tmp_path):
    marker = tmp_path / "fat"

    def gets_fat_once(_):
        gang = torch.distributed  # it may begin with one rank, and grows
        has_company = gang.is_initialized() and gang.get_world_size() == 2
        saved = (tmp_path / f"step-{STRIKE_AT:08d}").exists()
        if has_company and saved and not marker.exists():
            marker.touch()
            hoard = [np.ones(2**22) for _ in range(MEMORY_BYTES // 2**25)]  # 32 MiB each
            time.sleep(60.0 + len(hoard) * 0.0)
        return slowly(_)

    cluster = Struck(client, lambda: None, least=1)
    train(cluster, evaluate=gets_fat_once)
    (note,) = cluster.notes
    assert "Rank 0 of 2" in note
    assert "ran out of memory: it held" in note
    assert len(cluster.cluster.left_out) == 1


def test_a_full_disk_costs_a_checkpoint_and_no_step(client, train, small_disk):
    disk, enlarge = small_disk
    filler = disk / "filler"

    def fill():
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    class Emptied(Struck):
        def run_ranks(self, work, *, on_told, **options):
            def told(name, value):
                on_told(name, value)
                if name == "note":
                    filler.unlink(missing_ok=True)

            return super().run_ranks(work, on_told=told, **options)

    enlarge("4m")  # three checkpoints
    cluster = Emptied(client, fill)
    train(cluster, folder=disk)
    missing = STRIKE_AT + SAVE_EVERY
    assert {note.split(":")[0] for note in cluster.notes} == {f"No checkpoint at step {missing}"}
    assert "No space left on device" in cluster.notes[0]
    kept = [f"step-{step:08d}" for step in (STRIKE_AT, STEPS)]
    assert [path.name for path in sorted(disk.glob("step-*"))] == kept


def test_the_survivor_of_a_killed_worker_goes_on(client, train):
    """The last one: the worker that comes for it gets warm for nobody."""
    killed = []

    def kill():
        killed.extend(ranks_of(client)[1])
        os.kill(killed[0], signal.SIGKILL)

    client.register_plugin(WarmWorkers())
    while len(warm_workers(client).usable) < 2:  # else it may begin with one rank
        time.sleep(0.1)
    cluster = Struck(client, kill, least=1)
    train(cluster)
    assert len(cluster.notes) == 1
    assert not psutil.pid_exists(killed[1])  # nothing is left behind
