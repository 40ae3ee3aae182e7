"""A small log of sessions with a rhythm, new items, and clicks that share an instant."""

import math
import statistics
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.jobs.freshness import Freshness, FreshnessPlan
from recbench.models.streaming.blend import BlendDials
from recbench.refresh.cadence import Cost
from recbench.tables.log import EventLog

BEGUN = datetime(2026, 3, 1, tzinfo=UTC)
N_EVENTS, N_ITEMS, HOURS = 900, 40, 30
CADENCES = ("never", "6h", "1h")


def _session_events(seed=0, n_events=N_EVENTS):
    """Items come into fashion one after another; sessions are short; seconds are shared."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, HOURS * 3600 // 30, n_events) * 30)
    newest = 5 + (N_ITEMS - 5) * seconds / seconds[-1]
    items = np.minimum(np.floor(newest * (1 - rng.exponential(0.2, n_events))), N_ITEMS - 1)
    sessions = np.maximum(np.arange(n_events) // 4 - rng.integers(0, 4, n_events), 0)
    return pl.DataFrame(
        {
            c.EVENT_ID: np.arange(n_events),
            c.USER_ID: sessions + 100,
            c.ITEM_ID: np.maximum(items, 0).astype(np.int64) * 7,
            c.TS: [BEGUN + timedelta(seconds=int(second)) for second in seconds],
            c.CLICKED: np.ones(n_events, dtype=bool),
        }
    ).with_columns(pl.col(c.TS).cast(c.INSTANT))


def _session_log(events=None, protocol="next_in_session"):
    events = _session_events() if events is None else events
    items = events.select(c.ITEM_ID).unique().sort(c.ITEM_ID)
    return EventLog("toy", protocol, events, items, version=0)


def _one_second(make):
    """A stopwatch to which every release takes a second."""
    return make(), Cost(wall_s=1.0, cpu_s=0.5, joules=2.0)


class _OnlyLearned:
    """What makes a release where a test is not about files and gates: it is learned, no more."""

    def __init__(self, registry, data, protocol, learn, parts, passes):
        self.make = learn


@pytest.fixture(scope="session")
def begun():
    return BEGUN


@pytest.fixture(scope="session")
def session_events():
    return _session_events


@pytest.fixture(scope="session")
def session_log():
    return _session_log


@pytest.fixture(scope="session")
def one_second():
    return _one_second


@pytest.fixture
def run(tmp_path):
    """Runs an experiment in a new folder, with fixed dials and times unless told."""
    numbers = iter(range(100))

    def start(log, *, cadences=CADENCES, models=("ours", "counters"), folder=None, **more):
        known = ("from_share", "k", "most_requests", "most_refreshes", "factorials")
        dials = {"from_share": 0.5, "k": 5} | {n: more.pop(n) for n in known if n in more}
        plan = FreshnessPlan.named(cadences=cadences, models=models, **dials)
        plan = replace(plan, models=tuple(models))  # without what stands beside always
        given = {"stopwatch": _one_second, "dials": BlendDials(), "making": _OnlyLearned} | more
        place = folder or tmp_path / f"experiment-{next(numbers)}"
        return Freshness.of(log, plan, place, **given).run()

    return start


@pytest.fixture(scope="session")
def toy_log():
    return _session_log()


@pytest.fixture(scope="session")
def naive_figures():
    return _naive_figures


def _naive_figures(events, recs, *, protocol, start, end):
    """Hit rate, NDCG, MRR of a file of lists, by an evaluator that shares no line with ours."""
    lists = {}
    for row in pl.read_parquet(recs).iter_rows(named=True):
        lists.setdefault(row["event_id"], {})[row["item_id"]] = row["rank"]
    first_of_user, seen, hits, gains, reciprocals = {}, set(), [], [], []
    rows = sorted(events.iter_rows(named=True), key=lambda row: row["ts"])
    before = {}
    for row in rows:
        first_of_user.setdefault(row["user_id"], row["ts"])
        before.setdefault((row["user_id"], row["item_id"]), row["ts"])
    for row in rows:
        if not (row["clicked"] and start <= row["ts"] < end):
            continue
        if protocol == "next_in_session" and first_of_user[row["user_id"]] == row["ts"]:
            continue
        if protocol == "masked" and before[row["user_id"], row["item_id"]] != row["ts"]:
            continue
        rank = lists.get(row["event_id"], {}).get(row["item_id"])
        seen.add(row["event_id"])
        hits.append(rank is not None)
        gains.append(0.0 if rank is None else 1 / math.log2(rank + 1))
        reciprocals.append(0.0 if rank is None else 1 / rank)
    assert set(lists) <= seen
    return {
        "n": len(hits),
        "hit": statistics.mean(hits),
        "ndcg": statistics.mean(gains),
        "mrr": statistics.mean(reciprocals),
    }
