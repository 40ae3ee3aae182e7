from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.simulation.traits import traits

START = datetime(2026, 1, 1, tzinfo=UTC)


def log(*rows):
    users, items, seconds = zip(*rows, strict=True)
    ts = [START + timedelta(seconds=s) for s in seconds]
    frame = pl.DataFrame({"user_id": users, "item_id": items, "ts": ts})
    return frame.with_columns(pl.col("ts").dt.cast_time_unit("us"))


def test_traits_are_those_counted_by_hand():
    found = traits(
        log(
            (1, 5, 0),
            (1, 6, 10),  # a step 5 to 6
            (1, 6, 30),  # back to the last
            (1, 5, 1_030),  # back after a break
            (2, 5, 1_100),
            (2, 6, 1_130),  # the same step
            (3, 6, 1_200),
            (3, 7, 1_240),  # another step, and an item that the first half lacks
        )
    )

    assert found["clicks_per_session"] == pytest.approx(8 / 3)
    assert found["long_sessions"] == 0
    assert found["pause_s"] == 30  # of 10, 20, 30, 40, 1,000
    assert found["returns"] == 1 / 4
    assert found["returns_after_break"] == 1.0
    assert found["to_the_last"] == 1 / 2
    # 2 of 3, 0 of 1 and 0 of 1, where each is .4: variances are .64, .16 and .16 for .72, .24, .24
    assert found["returns_alike"] == pytest.approx((0.96 - 1.20) / (0.24 * 6))
    assert found["own_steps"] == 0
    assert found["n_items"] == 3
    assert found["head"] == 1.0
    assert found["on_new_items"] == 1 / 4
    assert found["distinct_steps"] == pytest.approx(2 / 3)
    assert found["known_steps"] == 1 / 2


def test_steps_that_a_session_made_before_are_its_own():
    found = traits(
        log(
            (1, 5, 0),
            (1, 6, 100),  # a step 5 to 6
            (2, 5, 150),
            (2, 6, 160),  # another session's
            (1, 5, 200),
            (1, 6, 300),  # again, soon
            (1, 5, 1_000),  # 6 to 5, again after 800 s
            (1, 6, 1_001),  # 5 to 6, again after 901 s
        )
    )

    assert found["own_steps"] == 3 / 6
    assert found["own_steps_late"] == 1 / 6


def test_a_log_without_sessions_is_refused():
    with pytest.raises(InputError, match="No session of 2 clicks has two of them"):
        traits(log((1, 5, 0), (2, 5, 1)))
