from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.cluster.days import days_of, rhythms
from recbench.errors import InputError

NOON = datetime(2026, 1, 3, 12, tzinfo=UTC)


def instants(*hours):
    return pl.Series([NOON - timedelta(hours=hour) for hour in hours]).cast(
        pl.Datetime("us", "UTC")
    )


def test_a_rhythm_is_events_by_minute_of_each_of_the_last_days():
    # two days before the last event: one event an hour, but ten within the hour before the end
    found = rhythms(instants(*range(49), *np.linspace(0, 1, 10)), n_days=2)

    assert [rhythm.shape for rhythm in found] == [(1440,), (1440,)]
    assert found[1][-40:].mean() > 3 * found[0].mean()
    assert np.quantile(np.concatenate(found), 0.99) == pytest.approx(1.0)


def test_a_log_of_one_day_has_no_two():
    with pytest.raises(InputError, match="reach back for 2 days"):
        rhythms(instants(*range(20)), n_days=2)


def test_a_log_without_events_has_no_rhythm():
    with pytest.raises(InputError, match="reach back for 1 days"):
        rhythms(instants(), n_days=1)


def test_generated_days_say_which_they_are(tmp_path):
    found = days_of("generated", n_days=2, workspace=tmp_path, peak_workers=1)

    assert [trace.seed for trace in found.traces] == [20_000, 20_001]
    assert found.data == {"generated": "seeds 20000 to 20001"}
