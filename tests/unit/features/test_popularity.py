"""Decayed popularity of all items, worked out by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.features.popularity import decayed_popularity, popularity_snapshots
from recbench.tables.queries import InteractionLog

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR_S = 3600.0


def at(hours):
    return int((START.timestamp() + hours * HOUR_S) * 1e6)


def log_of(*clicks):
    items, hours = zip(*clicks, strict=True)
    return InteractionLog.from_events(
        pl.DataFrame(
            {
                "user_id": range(len(items)),
                "item_id": items,
                "ts": [START + timedelta(hours=hour) for hour in hours],
            }
        )
    )


def test_a_click_is_worth_half_after_each_half_life():
    # half-life 2 h, asked at hour 4: item 1 has clicks 4 h and 2 h old, 1/4 + 1/2; item 2 none
    # before hour 4 but one 1 h old: 2 ** -1/2
    popularity = decayed_popularity(log_of((1, 0), (1, 2), (2, 3)), at=at(4), half_life_s=7200.0)
    assert popularity.tolist() == pytest.approx([0.75, 2**-0.5], rel=1e-15)


def test_a_click_at_the_instant_or_later_never_counts():
    log = log_of((1, 1), (2, 2), (2, 3))
    assert decayed_popularity(log, at=at(2), half_life_s=np.inf).tolist() == [1.0, 0.0]


def test_snapshots_equal_single_instants():
    log = log_of((1, 0), (2, 0.5), (1, 0.5), (3, 2), (1, 7))
    instants, half_lives = np.array([at(0), at(0.5), at(3), at(3), at(30)]), [600.0, 86400.0]
    snapshots = popularity_snapshots(log, instants, half_lives_s=half_lives)
    assert snapshots.shape == (5, 3, 2)
    for number, instant in enumerate(instants):
        for column, half_life in enumerate(half_lives):
            single = decayed_popularity(log, at=int(instant), half_life_s=half_life)
            np.testing.assert_allclose(snapshots[number, :, column], single, rtol=1e-12)


def test_ten_years_of_hourly_half_lives_neither_overflow_nor_vanish():
    # the last click is one half-life old; the one ten years before adds 2 ** -87600, which is 0
    hours = 10 * 8760
    log = log_of((1, 0), (1, hours))
    assert decayed_popularity(log, at=at(hours + 1), half_life_s=HOUR_S).tolist() == [0.5]


def test_no_instants_give_no_snapshots():
    empty = np.array([], dtype=np.int64)
    assert popularity_snapshots(log_of((1, 0)), empty, half_lives_s=[1.0]).shape == (0, 1, 1)


def test_instants_out_of_order_are_refused():
    with pytest.raises(InputError, match=f"ascending, got .{at(2)}, {at(1)}"):
        popularity_snapshots(log_of((1, 0)), np.array([at(2), at(1)]), half_lives_s=[1.0])


@pytest.mark.parametrize("half_lives", [[], [0.0], [1.0, -2.0], [float("nan")]])
def test_half_lives_must_be_positive(half_lives):
    with pytest.raises(InputError, match=r"positive seconds, got \[.*\]"):
        popularity_snapshots(log_of((1, 0)), np.array([at(1)]), half_lives_s=half_lives)
