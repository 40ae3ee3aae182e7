"""A joiner killed at any moment loses no example and tells no revision twice."""

import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench import columns as c
from recbench.events.join_lake import join_step
from recbench.events.joined import joined, latest
from recbench.events.shown import LabelWindows
from recbench.tables.lake import LakeTable

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOWS = LabelWindows(label=timedelta(minutes=30), correction=timedelta(hours=2))
N_REQUESTS, LATENESS_S = 6_000, 60


def shown_and_clicked(seed=0):
    """A request every 10 s; a third of them clicked up to 40 minutes later, in order of arrival."""
    rng = random.Random(seed)
    rows = []
    for request in range(N_REQUESTS):
        second = 10 * request
        rows.append((second, request, second, False, 1))
        if rng.random() < 1 / 3:
            clicked = second + rng.randrange(2_400)
            rows.append((clicked + rng.randrange(50), request, clicked, True, None))
    rows.sort()
    ts = pl.Series([START + timedelta(seconds=second) for _, _, second, *_ in rows])
    n = len(rows)
    return pl.DataFrame(
        {
            c.EVENT_ID: range(n),
            c.USER_ID: [request % 50 for _, request, *_ in rows],
            c.ITEM_ID: [request % 20 for _, request, *_ in rows],
            c.REQUEST_ID: [request for _, request, *_ in rows],
            c.TS: ts.cast(c.INSTANT),
            c.CLICKED: [clicked for *_, clicked, _ in rows],
            c.POSITION: pl.Series([position for *_, position in rows], dtype=pl.Int16),
            c.KAFKA_PARTITION: pl.Series([0] * n, dtype=pl.Int32),
            c.KAFKA_OFFSET: range(n),
            c.WATERMARK: (ts.cum_max().shift(1) - timedelta(seconds=LATENESS_S)).cast(c.INSTANT),
        }
    )


@pytest.mark.slow
def test_a_joiner_killed_again_and_again_ends_where_the_batch_join_does(tmp_path):
    rng = random.Random(1)
    rows = shown_and_clicked()
    stream = tmp_path / "lake" / "events"
    events, examples = LakeTable(stream / "events", by_day=True), LakeTable(stream / "examples")
    command = [sys.executable, "-c", "from recbench.cli import main; main()"]
    command += ["join", "--every", "0s", "--no-features"]
    environment = os.environ | {"RECBENCH_WORKSPACE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    parts = list(rows.iter_slices(-(-len(rows) // 10)))
    for part in parts:
        events.append(part)
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as joiner:
            time.sleep(rng.uniform(0.8, 2.5))
            assert joiner.poll() is None
            joiner.kill()
    join_step([events], examples, WINDOWS)
    told = examples.read().collect()
    assert told.select(c.REQUEST_ID, "revision").is_unique().all()
    over = rows[c.TS].max() - timedelta(seconds=LATENESS_S + 60) - WINDOWS.label
    columns = [c.REQUEST_ID, c.CLICKED, "label_ts"]
    expected, found = (
        each.filter(pl.col(c.TS) < over).select(columns).sort(c.REQUEST_ID)
        for each in (joined(rows, WINDOWS), latest(told))
    )
    assert found.equals(expected)
    assert len(told) > len(expected) * 0.9
