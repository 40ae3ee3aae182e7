"""A lake on a disk that is full: a clear end, nothing half-written, and the next start goes on."""

import os
import subprocess
import sys

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.benchmarks.streams import generated_stream
from recbench.events.replay import Disorder, delivery_plan, send
from recbench.events.stream_tables import StreamTables

N_EVENTS = 60_000


def ingest(broker, workspace):
    command = [sys.executable, "-c", "from recbench.cli import main; main()", "ingest"]
    command += ["--bootstrap-servers", broker.bootstrap_servers, "--until-end"]
    command += ["--batch-rows", "5000", "-X", "session.timeout.ms=1500"]
    return subprocess.run(
        [*command, "-X", "heartbeat.interval.ms=400"],
        env=os.environ | {"RECBENCH_WORKSPACE": str(workspace), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_ingester_ends_on_a_full_disk_and_goes_on_when_there_is_room(broker, small_disk):
    disk, enlarge = small_disk
    broker.create_topic("events", partitions=2)
    send(broker, "events", delivery_plan(generated_stream(N_EVENTS, seed=0), Disorder()))
    failed = ingest(broker, disk)
    assert failed.returncode == 1, failed.stderr
    assert "The disk is full" in failed.stderr
    assert "free some space" in failed.stderr
    tables = StreamTables(disk / "lake" / "events", "any")
    before = tables.events.read().select(c.EVENT_ID).collect() if tables.events.exists else None
    assert before is None or before[c.EVENT_ID].is_unique().all()
    enlarge()
    done = ingest(broker, disk)
    assert done.returncode == 0, done.stderr
    ids = tables.events.read().select(pl.col(c.EVENT_ID).sort()).collect()[c.EVENT_ID]
    assert np.array_equal(ids.to_numpy(), np.arange(N_EVENTS))
