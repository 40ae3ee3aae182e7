"""A log lived through again as a stream."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.definitions import LastValues
from recbench.features.shipped import SHIPPED_FEATURES
from recbench.jobs.live import live_through


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(0)
    n = 1_500
    seconds = np.sort(rng.integers(0, 6 * 3_600, n))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            c.EVENT_ID: range(n),
            c.USER_ID: rng.integers(0, 20, n),
            c.ITEM_ID: rng.integers(0, 30, n),
            c.TS: [start + timedelta(seconds=int(second)) for second in seconds],
            c.CLICKED: rng.random(n) < 0.5,
            c.WATCH_MS: rng.integers(0, 900, n),
            c.CATEGORY: [f"{'ABC'[k]}|D" if k else "A" for k in rng.integers(0, 3, n)],
        },
        schema_overrides={c.TS: c.INSTANT},
    )


def test_what_was_served_is_what_is_computed_afterwards(events):
    lived = live_through(events, SHIPPED_FEATURES, live_frac=0.4)
    assert (lived.n_backfilled, lived.n_live) == (900, 600)
    assert lived.values[c.TS].n_unique() > 10
    assert set(lived.values["feature"]) == {
        feature.name for feature in SHIPPED_FEATURES if not isinstance(feature, LastValues)
    }
    fading = pl.col("feature").str.contains("popularity")
    exact, faded = lived.values.filter(~fading), lived.values.filter(fading)
    assert exact["online"].equals(exact["batch"].alias("online"))
    assert exact["online"].drop_nulls().sum() > 0
    np.testing.assert_allclose(faded["online"], faded["batch"], rtol=1e-9)


@pytest.mark.parametrize("live_frac", [0.0, 1.0])
def test_both_parts_must_hold_something(events, live_frac):
    with pytest.raises(InputError, match=f"one part of 1500 events empty: {live_frac}"):
        live_through(events, SHIPPED_FEATURES, live_frac=live_frac)
