"""The Open Bandit Pipeline as judge: intervals, and its log read as canonical events."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.datasets import load
from recbench.evaluation.intervals import bootstrap_mean

pytestmark = pytest.mark.slow


def test_interval_agrees_with_obp_within_the_error_of_resampling(ask_obp):
    values = np.random.default_rng(7).exponential(size=200)
    resamples = 10_000
    ours = bootstrap_mean(values, seed=1, resamples=resamples)
    theirs = ask_obp("bootstrap", values=values.tolist(), seed=2, resamples=resamples)
    # Standard error of the 2.5 % quantile of n normal draws: sqrt(.025 * .975 / n) / density
    # there, which is .0584 / sigma, sigma the standard error of the mean; two independent
    # estimates, four standard errors: 4 * sqrt(2) * sqrt(.0244 / 10,000) / .0584 = .151 sigma.
    sigma = values.std() / np.sqrt(len(values))
    assert ours.value == values.mean()
    assert ours.low == pytest.approx(theirs["low"], abs=0.151 * sigma)
    assert ours.high == pytest.approx(theirs["high"], abs=0.151 * sigma)


def test_open_bandit_log_is_read_without_losing_a_round(ask_obp, tmp_path):
    log = ask_obp("open_bandit")
    value = log.pop("value")
    raw = pl.DataFrame(log).with_columns(
        pl.col(c.TS).str.slice(0, 26).str.to_datetime(time_unit="us", time_zone="UTC"),
        pl.col(c.CLICKED).cast(pl.Boolean),
    )
    path = tmp_path / "open_bandit.events.parquet"
    raw.write_parquet(path)
    events = load(
        path, workspace=tmp_path, protocol="impressions", now=datetime(2026, 1, 1, tzinfo=UTC)
    ).events
    assert len(events) == len(raw) == 10_000
    assert events[c.CLICKED].mean() == pytest.approx(value, abs=1e-12)
    assert events[c.PROPENSITY].sum() == pytest.approx(raw[c.PROPENSITY].sum(), rel=1e-12)
    assert events[c.TS].is_sorted()
