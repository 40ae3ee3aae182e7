"""A test that is looked at after every window: how often it is wrong, how soon it is right."""

import json

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.refresh.evidence import Evidence

LOOKS, TRIALS = 30, 400


def judged(rng, n, *, loss):
    """NDCG-like values: mostly zero, paired, one model ``loss`` worse in the mean."""
    other = np.where(rng.random(n) < 0.3, rng.random(n), 0.0)
    noise = np.where(rng.random(n) < 0.3, rng.uniform(-0.3, 0.3, n), 0.0)
    return np.clip(other * (1 - loss) + noise * other, 0, 1), other


def share_that_ever(verdict, *, loss, users=60, looks=LOOKS, margin=0.01):
    rng, times = np.random.default_rng(1), 0
    for _ in range(TRIALS):
        evidence = Evidence(margin)
        for _ in range(looks):
            evidence = evidence.after(*judged(rng, users, loss=loss))
            if verdict(evidence):
                times += 1
                break
    return times / TRIALS


def test_a_model_at_the_margin_is_seldom_called_worse_whenever_one_looks():
    assert share_that_ever(Evidence.is_worse, loss=0.01) <= 0.05


def test_a_model_at_the_margin_is_seldom_called_no_worse():
    assert share_that_ever(Evidence.is_not_worse, loss=0.01) <= 0.05


def test_a_large_lasting_loss_is_found():
    assert share_that_ever(Evidence.is_worse, loss=0.2, users=300, looks=8) >= 0.95


def test_a_gain_is_found():
    assert share_that_ever(Evidence.is_not_worse, loss=-0.2, users=300, looks=8) >= 0.9


def test_batches_of_any_size_say_the_same_together():
    own, other = judged(np.random.default_rng(2), 100, loss=0.1)
    whole = Evidence(0.01).after(own, other)
    parts = Evidence(0.01).after(own[:7], other[:7]).after(own[7:], other[7:])
    assert parts.n_users == whole.n_users == 100
    assert parts.log_wealth_against == pytest.approx(whole.log_wealth_against)
    assert parts.log_wealth_support == pytest.approx(whole.log_wealth_support)


def test_it_survives_a_manifest():
    evidence = Evidence(0.02).after(*judged(np.random.default_rng(3), 50, loss=0.1))
    assert Evidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_what_is_no_metric_is_refused(bad):
    with pytest.raises(InputError, match="outside"):
        Evidence(0.01).after(np.array([bad]), np.array([0.5]))


def test_other_users_are_refused():
    with pytest.raises(InputError, match="same users"):
        Evidence(0.01).after(np.zeros(2), np.zeros(3))


@pytest.mark.parametrize("margin", [-0.1, 1.0, np.nan])
def test_a_margin_is_a_share(margin):
    with pytest.raises(InputError, match="margin"):
        Evidence(margin)
