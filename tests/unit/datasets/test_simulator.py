import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime

import polars as pl
import pytest

from recbench import columns as c
from recbench.datasets.simulator import events_of, items_of, simulated_log
from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.sampling import UniformPolicy
from recbench.datasets.world.settings import WorldSettings
from recbench.tables.schema import check_events, check_items

DIGEST = """
import hashlib
from recbench.datasets.simulator import simulated_log
from recbench.datasets.world.settings import WorldSettings
events, items = simulated_log(WorldSettings(days=0.5, n_users=40, n_live=60), seed=5)
print(hashlib.sha256((events.write_csv() + items.write_csv()).encode()).hexdigest())
"""


def test_the_log_is_canonical(small_world):
    events, items = simulated_log(small_world.settings, seed=3)
    checked = check_events(events, source="simulated", now=datetime(2026, 1, 3, tzinfo=UTC))

    assert not len(checked.rejected)
    assert checked.accepted.equals(events.select(checked.accepted.columns))
    assert not len(check_items(items, source="simulated items").rejected)
    per_request = events.group_by(c.REQUEST_ID).agg(pl.len(), pl.col(c.POSITION), pl.col(c.TS))
    assert per_request["len"].unique().to_list() == [10]
    assert per_request[c.POSITION].unique().to_list() == [list(range(10))]
    assert (per_request[c.TS].list.n_unique() == 1).all()


def test_no_item_is_shown_before_it_is_published(small_world):
    events, items = simulated_log(small_world.settings, seed=3)
    joined = events.join(items, on=c.ITEM_ID, how="left")

    assert (joined[c.TS] >= joined[c.PUBLISHED_AT]).all()
    assert joined[c.CATEGORY].equals(joined["category_right"], check_names=False)


def test_the_truth_is_only_told_when_asked_for(small_world):
    shown = run(small_world, UniformPolicy(seed=3))
    plain, told = events_of(shown, small_world), events_of(shown, small_world, truth=True)

    extra = ["true_click_probability", "expected_watch_ms"]
    assert told.columns == [*plain.columns, *extra]
    assert told.select(plain.columns).equals(plain)
    assert len(items_of(small_world)) == len(small_world.items)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_same_seed_gives_the_same_world_in_any_process_on_any_number_of_threads(threads):
    settings = WorldSettings(days=0.5, n_users=40, n_live=60)
    events, items = simulated_log(settings, seed=5)
    here = hashlib.sha256((events.write_csv() + items.write_csv()).encode()).hexdigest()
    limits = dict.fromkeys(
        ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads
    )
    there = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env={**os.environ, **limits, "PYTHONHASHSEED": threads},
        capture_output=True,
        text=True,
        check=True,
    )

    assert there.stdout.strip() == here
    assert not simulated_log(settings, seed=6)[0].equals(events)
