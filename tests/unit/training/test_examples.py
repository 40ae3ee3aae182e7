from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.tables.queries import InteractionLog
from recbench.training.examples import Examples, first_clicks, ranges

START = datetime(2026, 1, 1, tzinfo=UTC)
US = int(START.timestamp()) * 1_000_000
HOUR_US = 3_600_000_000


def log_of(*events):
    """(user, item, hour) -> a log."""
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


def test_a_pseudo_cut_takes_users_with_a_past_and_a_future():
    log = log_of((1, 10, 0), (1, 20, 5), (1, 30, 9), (2, 10, 0), (3, 10, 6))
    examples = Examples.at_pseudo_cuts(
        log, cuts=np.array([US + 2 * HOUR_US]), horizon_us=5 * HOUR_US
    )
    # user 1 has hour 0 before the cut and hour 5 within [2, 7); users 2 and 3 lack one of both
    assert len(examples) == 1
    assert examples.queries(np.array([0])).user_ids.tolist() == [1]
    history = log.item_rows[examples.starts[0] : examples.ends[0]]
    targets = log.item_rows[examples.target_starts[0] : examples.target_ends[0]]
    assert log.items.ids[history].tolist() == [10]
    assert log.items.ids[targets].tolist() == [20]


def test_an_event_at_the_cut_is_a_target_and_no_history():
    log = log_of((1, 10, 0), (1, 20, 2))
    examples = Examples.at_pseudo_cuts(log, cuts=np.array([US + 2 * HOUR_US]), horizon_us=HOUR_US)
    assert examples.ends[0] - examples.starts[0] == 1
    assert examples.target_ends[0] - examples.target_starts[0] == 1


def test_next_events_see_only_strictly_earlier_instants():
    log = log_of((1, 10, 0), (1, 20, 1), (1, 30, 1), (2, 10, 3))
    examples = Examples.of_next_events(log, cuts=np.array([US]))
    # two targets at hour 1, neither in the other's history
    assert log.items.ids[log.item_rows[examples.target_starts]].tolist() == [20, 30]
    assert (examples.ends - examples.starts).tolist() == [1, 1]


def test_a_log_without_second_clicks_is_refused():
    with pytest.raises(InputError, match="2 clicks of 2 users give no training example"):
        Examples.at_pseudo_cuts(
            log_of((1, 10, 0), (2, 10, 1)), cuts=np.array([US + HOUR_US]), horizon_us=HOUR_US
        )


def test_first_clicks_drop_repeats_and_keep_order():
    log = first_clicks(log_of((1, 10, 0), (1, 20, 1), (1, 10, 2), (2, 10, 0)))
    assert log.items.ids[log.item_rows].tolist() == [10, 20, 10]
    assert log.users.ids[log.user_rows].tolist() == [1, 1, 2]


def test_sequences_hold_runs_of_targets_of_one_user_and_cut():
    log = log_of((1, 10, 0), (1, 20, 1), (1, 30, 2), (1, 40, 3), (1, 50, 9), (2, 10, 0), (2, 20, 1))
    cuts = np.array([US, US + 5 * HOUR_US])
    examples = Examples.of_sequences(log, cuts=cuts, length=2)
    # user 1 has targets 20 30 | 40 before the second cut and 50 after it; user 2 has 20
    ids = log.items.ids[log.item_rows]
    ranged = zip(examples.target_starts, examples.target_ends, strict=True)
    assert [ids[a:b].tolist() for a, b in ranged] == [[20, 30], [40], [50], [20]]
    assert examples.cut_of.tolist() == [0, 0, 1, 0]
    histories = zip(examples.starts, examples.ends, strict=True)
    assert [ids[a:b].tolist() for a, b in histories] == [
        [10, 20],
        [10, 20, 30],
        [10, 20, 30, 40],
        [10],
    ]


def test_ranges_list_every_position_with_its_owner():
    owner, at = ranges(np.array([3, 7, 7]), np.array([5, 7, 9]))
    assert owner.tolist() == [0, 0, 2, 2]
    assert at.tolist() == [3, 4, 7, 8]
