"""A bandit's learner killed at any moment counts every decision and every click once."""

import json
import os
import random
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from confluent_kafka import Producer

from recbench.policy.logged_context import encoded_contexts
from recbench.policy.snapshot import Snapshot, read_snapshot

N_PARTITIONS = 2
DIM, SLATE = 6, 3
WINDOW_US = 60_000_000
BASE_US = 1_790_000_000_000_000


def requests(n, *, seed=0):
    """Per request: contexts, which items are clicked, and when; and the sums of all of them."""
    rng = np.random.default_rng(seed)
    contexts = rng.normal(size=(n, SLATE, DIM)).astype(np.float32)
    clicked = rng.random((n, SLATE)) < 0.3
    after_us = rng.integers(0, WINDOW_US, size=(n, SLATE))
    late = rng.random((n, SLATE)) < 0.1  # of the clicks, these come after the window
    after_us[late] += WINDOW_US + 1
    counts = clicked & ~late
    rows = contexts.reshape(-1, DIM).astype(np.float64)
    sums = rows.T @ rows, rows.T @ counts.ravel().astype(np.float64), int(counts.sum())
    return contexts, clicked, after_us, int((clicked & late).sum()), sums


def messages(n):
    """(ts, topic, partition, bytes), in order of event time; the last ones close all windows."""
    contexts, clicked, after_us, _, _ = requests(n)
    rows = []
    for request in range(n):
        ts = BASE_US + request * 100_000
        texts = encoded_contexts(contexts[request])
        partition = request % N_PARTITIONS
        for place in range(SLATE):
            common = {"user_id": request, "item_id": place + 10, "request_id": request}
            shown = common | {"ts": ts, "clicked": False, "position": place}
            rows.append((ts, "shown", partition, shown | {"context": texts[place]}))
            if clicked[request, place]:
                at = ts + int(after_us[request, place])
                rows.append((at, "acts", partition, common | {"ts": at}))
    rows.sort(key=lambda row: row[0])
    end = rows[-1][0] + 10 * WINDOW_US
    rows += [
        (end, topic, partition, {"user_id": 0, "item_id": 0, "ts": end})
        for topic in ("shown", "acts")
        for partition in range(N_PARTITIONS)
    ]
    return [(topic, partition, json.dumps(row).encode()) for _, topic, partition, row in rows]


def send(broker, rows, *, seconds):
    producer = Producer(broker.client_settings() | {"linger.ms": 5})
    began = time.monotonic()
    for number, (topic, partition, value) in enumerate(rows):
        producer.produce(topic, value, partition=partition)
        if number % 100 == 0:
            producer.poll(0)
            ahead_s = number / len(rows) * seconds - (time.monotonic() - began)
            time.sleep(max(ahead_s, 0))
    assert producer.flush(120) == 0


def start(broker, out, *options):
    command = [sys.executable, "-c", "from recbench.cli import main; main()", "policy", "learn"]
    command += ["--out", str(out), "--topic", "shown", "--topic", "acts", "--window", "60s"]
    command += ["--bootstrap-servers", broker.bootstrap_servers, "--snapshot-every", "100ms"]
    return subprocess.Popen(
        [*command, *options],
        env=os.environ | {"OMP_NUM_THREADS": "1", "RECBENCH_WORKSPACE": str(out.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long(40)
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_while_decisions_flow_lose_and_double_nothing(broker, tmp_path):
    rng, n, n_kills = random.Random(0), 4_000, 6
    for topic in ("shown", "acts"):
        broker.create_topic(topic, partitions=N_PARTITIONS)
    rows, out = messages(n), tmp_path / "policy.safetensors"
    sender = threading.Thread(target=send, args=(broker, rows), kwargs={"seconds": 40})
    sender.start()
    learnt = []
    for _ in range(n_kills):
        with start(broker, out) as learner:
            before = out.stat().st_mtime_ns if out.exists() else 0
            _until(lambda b=before: _is_newer(out, b) or not sender.is_alive(), learner)
            time.sleep(rng.uniform(0.0, 1.5))
            learner.kill()
        learnt.append(Snapshot.read(out).n_events if out.exists() else 0)
    sender.join()
    last = start(broker, out, "--until-end")
    said, error = last.communicate(timeout=300)
    assert last.returncode == 0, error
    assert "lag 0" in said
    assert learnt[-1] > 0, "every kill came before anything was learnt"
    _, _, _, n_late, (gram, moment, n_rewarded) = requests(n)
    told, arrays = read_snapshot(out)
    assert told["n_events"] == n * SLATE
    assert told["reward_sum"] == n_rewarded
    assert told["n_pending"] == told["n_repeats"] == 0
    assert told["n_late"] + told["n_unknown"] == n_late
    assert sum(told["offsets"].values()) == len(rows)
    # float32 sums of batches: an error of 1e-6 a sum of about 1e4
    np.testing.assert_allclose(arrays["beliefs.0.gram"], gram, atol=0.05)
    np.testing.assert_allclose(arrays["beliefs.0.moment"], moment, atol=0.05)


def _is_newer(path, before):
    return path.exists() and path.stat().st_mtime_ns > before


def _until(holds, process, *, seconds=120):
    deadline = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)
