from dataclasses import replace

import numpy as np
import pytest

from recbench.simulation.labels import calibration, delayed_labels, label_arms
from recbench.simulation.twins import TwinPlan


def test_naive_labels_predict_too_little_and_weights_mend_it(little):
    late = replace(little, label_delay_s=1_200.0, n_users=100)
    figures, curves = delayed_labels(late, TwinPlan(warmup_days=0.25), seeds=[1, 2])
    over = dict(figures.group_by("arm").mean().select("arm", "over").iter_rows())

    assert set(over) == set(label_arms(1.0))
    # p / (1 + p) over p at rates around .4 is .7; counters lag behind fading items, which adds some
    assert over["naive"] < 0.85 * over["corrected counts"]
    assert over["naive"] < 0.85 * over["fake negatives, weighted"]
    assert over["naive"] < 0.85 * over["wait for the label"]
    assert curves["bin"].to_list() == list(range(10)) * 4
    assert curves["n"].sum() > 0


def test_who_waits_waits_for_three_mean_delays():
    assert label_arms(1_200.0)["wait for the label"].wait_h == pytest.approx(1.0)


def test_calibration_is_of_equal_parts_by_prediction():
    predicted = np.array([0.9, 0.1, np.nan, 0.2] * 10)
    true = np.array([0.8, 0.0, 0.5, 0.4] * 10)
    found = calibration(predicted, true)

    assert found["n"].to_list() == [3] * 10
    assert found["predicted"].is_sorted()
    assert found["true"].to_list()[0] == 0.0
    assert found["true"].to_list()[-1] == pytest.approx(0.8)
