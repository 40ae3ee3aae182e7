"""A ranker of impressions learns items, not places."""

import numpy as np
import pytest
import torch

from recbench.errors import InputError
from recbench.evaluation.impressions import ImpressionMetrics
from recbench.training.impressions import Impressions, fit_impressions

N, PLACES = 12_000, 6
LOOKED_AT = np.array([0.6, 0.4, 0.25, 0.15, 0.08, 0.04])  # chance of a click by place
WANTED = np.array([0.9, 0.2, 0.9, 0.2, 0.9, 0.2])  # of the items, where they count


def world(seed=0, *, taste):
    """Item i is shown at place i two times of three; its features are which one it is."""
    rng = np.random.default_rng(seed)
    item = rng.integers(PLACES, size=N)
    place = np.where(rng.random(N) < 2 / 3, item, rng.integers(PLACES, size=N))
    chance = LOOKED_AT[place] * (WANTED[item] if taste else 1.0)
    clicked = rng.random(N) < chance
    return Impressions(np.eye(PLACES, dtype=np.float32)[item], clicked, place), item


def preference(ranker):
    """(6,) each item's logit, without a place."""
    with torch.no_grad():
        return ranker(torch.eye(PLACES)).click_logits.numpy()


def test_clicks_that_depend_on_the_place_alone_teach_no_preference():
    shown, _ = world(taste=False)
    told = preference(fit_impressions(shown))
    untold = preference(fit_impressions(Impressions(shown.features, shown.clicked)))
    # Logits of .6 and .04 are 3.6 apart. With places told, an item is known by its 600 impressions
    # that are elsewhere: to .1, one at the last place to .15, so six of them spread by about .4.
    assert np.ptp(untold) > 1.5
    assert np.ptp(told) < 0.5


def test_inverse_propensities_do_the_same():
    shown, _ = world(taste=False)
    # a click at a place that is looked at rarely counts for more, as does what was not clicked
    weights = np.where(shown.clicked, 1.0 / LOOKED_AT[shown.positions], 1.0).astype(np.float32)
    weighted = preference(
        fit_impressions(Impressions(shown.features, shown.clicked, weights=weights))
    )
    untold = preference(fit_impressions(Impressions(shown.features, shown.clicked)))
    assert np.ptp(weighted) < 0.4 * np.ptp(untold)


def test_taste_is_learned_beside_the_place():
    shown, _ = world(taste=True)
    order = preference(fit_impressions(shown))
    assert order[[0, 2, 4]].min() > order[[1, 3, 5]].max() + 0.5


def test_chances_without_a_place_are_calibrated_on_average():
    shown, _ = world(taste=True)
    ranker = fit_impressions(shown)
    with torch.no_grad():
        chance = torch.sigmoid(ranker(torch.from_numpy(shown.features)).click_logits)
    assert chance.mean().item() == pytest.approx(shown.clicked.mean(), rel=0.25)


def test_the_watched_share_is_learned_from_what_was_clicked():
    shown, item = world(taste=True)
    ratio = np.where(shown.clicked, np.where(item < 3, 0.9, 0.3), -1.0).astype(np.float32)
    ranker = fit_impressions(
        Impressions(shown.features, shown.clicked, shown.positions, ratio), watch_weight=1.0
    )
    with torch.no_grad():
        found = ranker(torch.eye(PLACES)).watch_ratio.numpy()
    assert found == pytest.approx(np.where(np.arange(PLACES) < 3, 0.9, 0.3), abs=0.1)


def test_a_seed_gives_one_ranker():
    shown, _ = world(taste=True)
    one, other = (preference(fit_impressions(shown, epochs=1, seed=4)) for _ in range(2))
    assert np.array_equal(one, other)


def test_a_log_without_a_click_is_refused():
    nothing = np.zeros(3, dtype=bool)
    with pytest.raises(InputError, match="0 of 3 impressions"):
        Impressions(np.zeros((3, 1), dtype=np.float32), nothing)


def test_parts_of_other_lengths_are_refused():
    with pytest.raises(InputError, match=r"3 impressions .* got \[2\]"):
        Impressions(np.zeros((3, 1), dtype=np.float32), np.array([True, False]))


def test_metrics_by_hand():
    # request 1: clicked .8 and unclicked .8, .2: half a pair and one, AUC 3/4; the click is first
    # (ties by order): NDCG 1. Request 2: unclicked .6 before clicked .4: AUC 0, NDCG 1/log2(3).
    # Request 3 has no click: it only counts for the log loss.
    chance = np.array([0.8, 0.8, 0.2, 0.6, 0.4, 0.5])
    clicked = np.array([True, False, False, False, True, False])
    request = np.array([1, 1, 1, 2, 2, 3])
    found = ImpressionMetrics.of(chance, clicked, request)
    assert found.gauc == pytest.approx((3 * 0.75 + 2 * 0) / 5)
    assert found.ndcg == pytest.approx((1 + 1 / np.log2(3)) / 2)
    terms = [0.8, 0.2, 0.8, 0.4, 0.4, 0.5]
    assert found.log_loss == pytest.approx(-np.mean(np.log(terms)))
    # each impression is its own bin
    assert found.calibration_error == pytest.approx(np.mean([0.2, 0.8, 0.2, 0.6, 0.6, 0.5]))
    assert found.n_requests == 2


def test_chances_of_zero_or_one_are_refused():
    with pytest.raises(InputError, match=r"got 0\.0 to 0\.5"):
        ImpressionMetrics.of(np.array([0.0, 0.5]), np.array([True, False]), np.array([1, 1]))
