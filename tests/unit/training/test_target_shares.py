"""Shares of targets, by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.tables.queries import InteractionLog
from recbench.training.examples import Examples
from recbench.training.target_shares import TargetShares

START = datetime(2026, 1, 1, tzinfo=UTC)
US = int(START.timestamp()) * 1_000_000
HOUR_US = 3_600_000_000


@pytest.fixture
def log():
    events = [(1, 10, 0), (1, 20, 3), (1, 30, 4), (2, 10, 0), (2, 20, 3)]
    return InteractionLog.from_events(
        pl.DataFrame(
            {
                "user_id": [user for user, _, _ in events],
                "item_id": [item for _, item, _ in events],
                "ts": [START + timedelta(hours=hour) for _, _, hour in events],
            },
            schema_overrides={"ts": pl.Datetime("us", "UTC")},
        )
    )


def test_one_target_drawn_from_each_example(log):
    cuts = np.array([US + HOUR_US])
    examples = Examples.at_pseudo_cuts(log, cuts=cuts, horizon_us=9 * HOUR_US)
    # user 1 draws 20 or 30, user 2 always 20: 20 has (1/2 + 1) / 2, 30 has 1/4
    shares = TargetShares.of(examples)
    assert shares.at(0, np.array([0, 1, 2])).tolist() == pytest.approx([0.0, 0.75, 0.25])


def test_every_target_of_sequences_counts_alike(log):
    examples = Examples.of_sequences(log, cuts=np.array([US]), length=9)
    # targets 20, 30 of user 1 and 20 of user 2
    shares = TargetShares.of(examples)
    assert shares.at(0, np.array([2, 1, 0])).tolist() == pytest.approx([1 / 3, 2 / 3, 0.0])


def test_each_cut_has_its_own_shares(log):
    cuts = np.array([US, US + 4 * HOUR_US])
    shares = TargetShares.of(Examples.of_next_events(log, cuts=cuts))
    assert shares.at(0, np.array([1, 2])).tolist() == pytest.approx([1.0, 0.0])
    assert shares.at(1, np.array([1, 2])).tolist() == pytest.approx([0.0, 1.0])
