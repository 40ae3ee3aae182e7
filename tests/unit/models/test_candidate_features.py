from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.features.running_popularity import RunningPopularity
from recbench.models.candidate_features import CandidateHistory, CandidateSnapshots
from recbench.tables.queries import InteractionLog

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000


@pytest.fixture
def log():
    days = [0, 1, 4]
    return InteractionLog.from_events(
        pl.DataFrame(
            {
                "user_id": [1, 1, 2],
                "item_id": [10, 20, 20],
                "ts": [START + timedelta(days=day) for day in days],
            },
            schema_overrides={"ts": pl.Datetime("us", "UTC")},
        )
    )


def test_features_are_as_of_each_instant_and_see_nothing_later(log):
    start = int(START.timestamp()) * 1_000_000
    at = np.array([start + DAY_US, start + 2 * DAY_US])
    history = CandidateHistory(log, half_lives_s=[86_400.0], prior_half_life_s=2 * 86_400.0)
    first, second = (history.at(int(instant), np.array([0, 1])) for instant in at)
    # item 10 clicked on day 0; item 20 on day 1, which is not before the first instant
    assert first.popularity == pytest.approx([2 ** (-1 / 2), 0.0])
    assert second.popularity == pytest.approx([2**-1.0, 2 ** (-1 / 2)])
    assert first.log_prior == pytest.approx(np.log([2 ** (-1 / 2) + 0.01, 0.01]))
    # columns: log popularity (half-life a day), log age in days, is new
    assert first.features[0] == pytest.approx([np.log(0.51) / 3, np.log(2) / 3, 0.0])
    assert first.features[1] == pytest.approx([np.log(0.01) / 3, 0.0, 1.0])
    assert second.features[1] == pytest.approx([np.log(0.51) / 3, np.log(2) / 3, 0.0])


def test_candidates_are_answered_in_the_order_asked(log):
    history = CandidateHistory(log, half_lives_s=[86_400.0], prior_half_life_s=86_400.0)
    at = int(START.timestamp()) * 1_000_000 + 3 * DAY_US
    both, backwards = history.at(at, np.array([0, 1])), history.at(at, np.array([1, 0, 1]))
    assert np.array_equal(backwards.features, both.features[[1, 0, 1]])


def test_what_was_kept_of_an_instant_gives_the_features_of_the_log(log):
    at = int(START.timestamp()) * 1_000_000 + 2 * DAY_US
    rows = np.array([1, 0])
    dials = {"half_lives_s": [86_400.0, 3 * 86_400.0], "prior_half_life_s": 2 * 86_400.0}
    whole = CandidateHistory(log, **dials).at(at, rows)
    kept = RunningPopularity.of(
        log, at=at, half_lives_s=[*dials["half_lives_s"], dials["prior_half_life_s"]]
    )
    found = CandidateSnapshots([kept]).at(at, rows)
    for ours, theirs in zip(found, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_an_instant_of_which_nothing_was_kept_is_refused(log):
    kept = RunningPopularity.of(log, at=5, half_lives_s=[86_400.0])
    with pytest.raises(InputError, match=r"kept as of \[5\], not of 6"):
        CandidateSnapshots([kept]).at(6, np.array([0]))
