"""How much of a retrain's gain an arm recovers, and whether it falls behind: by hand."""

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.prequential import by_window, gap_slope, recovery


def arm(values, *, users=None, known=True):
    """One request of each user in each window, all of one value a window."""
    users = users or range(40)
    rows = [
        {"window": window, "user_id": user, "known": known, "value": value}
        for window, value in enumerate(values)
        for user in users
    ]
    return pl.DataFrame(rows)


NOTHING, RETRAIN = arm([0.1, 0.1]), arm([0.2, 0.2])


def test_an_arm_between_nothing_and_retrain_recovers_its_share():
    # (0.18 - 0.1) / (0.2 - 0.1) = 0.8; 0.18 / 0.2 = 0.9; (0.2 - 0.1) / 0.2 = 0.5
    found = recovery(arm([0.18, 0.18]), retrain=RETRAIN, nothing=NOTHING)
    assert found.value.value == pytest.approx(0.18)
    assert found.recovered.value == pytest.approx(0.8)
    assert found.of_retrain.value == pytest.approx(0.9)
    assert found.gap.value == pytest.approx(0.5)
    assert found.gap.n_users == 40


def test_where_nothing_loses_nothing_there_is_nothing_to_recover():
    rng = np.random.default_rng(0)
    noise = pl.Series("value", rng.normal(0.2, 0.05, len(RETRAIN)))
    found = recovery(NOTHING, retrain=RETRAIN.with_columns(noise), nothing=RETRAIN)
    assert found.gap.low <= 0 <= found.gap.high
    assert found.recovered is None
    assert str(found).endswith("no gain to recover")


def test_users_are_resampled_with_all_their_requests():
    # one user decides in every window: the more windows, the surer only if requests were apart
    def of(n_windows):
        part = arm([0.0] * n_windows, users=range(20))
        lucky = pl.when(pl.col("user_id") == 0).then(1.0).otherwise(0.1)
        return recovery(
            part.with_columns(lucky.alias("value")),
            retrain=part.with_columns(pl.lit(0.2).alias("value")),
            nothing=part,
        ).value

    few, many = of(1), of(50)
    assert few.value == pytest.approx(many.value)
    assert few.high - few.low == pytest.approx(many.high - many.low)


def test_known_requests_can_be_asked_alone():
    both = pl.concat([arm([0.4]), arm([0.0], users=range(100, 140), known=False)])
    found = recovery(both, retrain=both, nothing=both, known=True)
    assert found.value.value == pytest.approx(0.4)


def test_arms_that_answered_other_requests_are_refused():
    with pytest.raises(InputError, match="'retrain' were not judged by the same requests"):
        recovery(NOTHING, retrain=arm([0.2]), nothing=NOTHING)
    with pytest.raises(InputError, match="no request"):
        recovery(NOTHING.head(0), retrain=RETRAIN.head(0), nothing=NOTHING.head(0))


def test_each_window_has_a_mean_an_arm():
    found = by_window({"refresh": arm([0.1, 0.3]), "nothing": arm([0.1, 0.0])})
    assert found.filter(arm="refresh")["value"].to_list() == pytest.approx([0.1, 0.3])
    assert found.filter(arm="nothing")["n"].to_list() == [40, 40]


def test_a_gap_that_grows_by_a_hundredth_a_window_is_told():
    # gap of window w: -0.002 w, over a mean of 0.2: -0.01 a window
    refresh = arm([0.2 - 0.002 * window for window in range(10)])
    slope = gap_slope(refresh, retrain=arm([0.2] * 10))
    assert slope.value == pytest.approx(-0.01)
    assert slope.high < 0


def test_a_steady_gap_has_no_slope():
    slope = gap_slope(arm([0.1] * 6), retrain=arm([0.2] * 6))
    assert slope.value == pytest.approx(0.0, abs=1e-12)
