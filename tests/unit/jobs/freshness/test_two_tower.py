"""The two-tower as an arm: refreshed by the refresh path, judged by files, blind to the future."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.jobs.freshness.results import Results
from recbench.refresh.cadence import Cadence

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CADENCES = ("never", "5h")

pytestmark = pytest.mark.slow  # real fits and refreshes


@pytest.fixture
def run_towers(run, tiny_experiment):
    """Ours and the two-tower, with a small first fit."""

    def start(log, **more):
        return run(
            log, cadences=CADENCES, models=("ours", "two-tower"), towers=tiny_experiment, **more
        )

    return start


def lists_of(done):
    return {
        place.name: pl.read_parquet(place)
        for place in sorted((done.folder / "recs").glob("two-tower.*"))
    }


def test_it_is_refreshed_at_each_tick_and_an_outsider_finds_its_points(
    run_towers, session_log, naive_figures
):
    log = session_log()
    done = run_towers(log)

    table = Results(done).arms().filter(model="two-tower")

    track = done.weights("two-tower", Cadence.of("5h"))
    assert len(track.counted) >= 2
    assert not all(release.held for release in track.counted)
    assert len(table) == 3  # nothing at all, never, every five hours
    start, end = (EPOCH + timedelta(microseconds=at) for at in (done.start, done.end))
    for row in table.iter_rows(named=True):
        recs = done.folder / "recs" / f"two-tower.{row['arm']}.parquet"
        naive = naive_figures(log.events, recs, protocol=log.protocol, start=start, end=end)
        assert row["ndcg@5"] == pytest.approx(naive["ndcg"], abs=1e-12)
    assert not list(done.folder.glob(".model-*"))


@pytest.mark.long(55)
def test_who_shuffles_the_future_changes_nothing_that_it_showed_before(
    run_towers, session_events, session_log
):
    events, rng = session_events(), np.random.default_rng(0)
    now = events[c.TS][700]
    past, future = events.filter(pl.col(c.TS) < now), events.filter(pl.col(c.TS) >= now)
    shuffled = future.with_columns(
        pl.Series(name, rng.permutation(future[name].to_numpy())) for name in (c.USER_ID, c.ITEM_ID)
    )
    logs = [
        session_log(each, protocol="next_basket") for each in (events, pl.concat([past, shuffled]))
    ]

    before, after = (lists_of(run_towers(log)) for log in logs)

    for name, lists in before.items():
        early = [each.filter(pl.col(c.TS) < now) for each in (lists, after[name])]
        assert len(early[0]) > 100
        assert early[0].equals(early[1]), name
