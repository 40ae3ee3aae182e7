import numpy as np
import pytest

from recbench.datasets.world.protocol import Clicks
from recbench.datasets.world.together import all_clicks, all_exposures
from recbench.simulation.counters import ItemRates, UserTastes, logits

NO_CLICKS = all_clicks([])


def stream(rng, *, n, rate):
    """Exposures of one item at a steady pace over a day, and the clicks among them."""
    from recbench.datasets.world.protocol import Exposures

    hours = np.sort(rng.uniform(0, 24, n))
    zero = np.zeros(n, dtype=np.int64)
    shown = Exposures(np.arange(n), zero, zero, zero, hours, np.ones(n))
    hit = np.flatnonzero(rng.random(n) < rate)
    return shown, Clicks(shown.take(hit), np.ones(len(hit)), hours[hit])


def test_a_count_is_worth_half_after_its_half_life(exposures, clicks, new_items):
    items = ItemRates(half_life_h=2.0)
    items.meet(new_items(0, 1))
    shown = exposures((0, 0, 0.0), (0, 0, 2.0), (0, 1, 4.0))
    items.learn(shown, clicks(shown.take(np.array([0]))), until_h=4.0)

    # the first is two half-lives old, the second one, the third none
    assert items.positives.tolist() == [0.25, 0.0]
    assert items.negatives.tolist() == [0.5, 1.0]
    items.learn(all_exposures([]), NO_CLICKS, until_h=6.0)
    assert items.positives.tolist() == [0.125, 0.0]
    assert items.negatives.tolist() == [0.25, 0.5]


def test_a_click_that_comes_later_corrects_its_exposure(exposures, clicks, new_items):
    late, at_once = ItemRates(half_life_h=2.0), ItemRates(half_life_h=2.0)
    shown = exposures((0, 0, 0.0), (0, 0, 1.0))
    hit = clicks(shown.take(np.array([1])), after_h=2.0)
    for items in (late, at_once):
        items.meet(new_items(0))
    late.learn(shown, NO_CLICKS, until_h=1.5)
    late.learn(all_exposures([]), hit, until_h=3.0)
    at_once.learn(shown, hit, until_h=3.0)

    np.testing.assert_allclose(late.positives, at_once.positives)
    np.testing.assert_allclose(late.negatives, at_once.negatives)


@pytest.mark.parametrize(
    ("labels", "tends_to"), [("corrected", 0.4), ("naive", 0.4 / 1.4), ("weighted", 0.4)]
)
def test_rates_tend_to_what_the_treatment_of_labels_says(labels, tends_to, new_items):
    items = ItemRates(half_life_h=6.0, labels=labels)
    items.meet(new_items(0))
    shown, hits = stream(np.random.default_rng(0), n=40_000, rate=0.4)
    for hour in range(24):
        now = np.flatnonzero((shown.hours >= hour) & (shown.hours < hour + 1))
        of_now = np.flatnonzero((hits.known_h >= hour) & (hits.known_h < hour + 1))
        items.learn(shown.take(now), hits.take(of_now), until_h=hour + 1.0)

    # about 13,000 exposures are not forgotten: a binomial's standard error is .0043
    assert items.rates(np.array([0]))[0] == pytest.approx(tends_to, abs=0.015)


def test_an_item_never_met_has_the_rate_of_new_ones(exposures, clicks, new_items):
    items = ItemRates(half_life_h=1e6)
    items.meet(new_items(0))
    shown = exposures(*[(0, 0, 0.0)] * 18)
    items.learn(shown, clicks(shown.take(np.arange(9))), until_h=0.0)

    # young: 1 + 9 of 2 + 18
    assert items.rates(np.array([5])).tolist() == [0.5]


def test_a_user_is_known_by_what_they_click_beyond_the_rate(exposures, clicks, new_items):
    items = ItemRates(half_life_h=1e6)
    items.meet(new_items(0, 1))
    users = UserTastes(2, 2, half_life_h=1e6)
    shown = exposures((0, 0, 0.0), (0, 1, 0.0), (1, 0, 0.0))
    users.learn(shown, clicks(shown.take(np.array([0]))), items=items, until_h=0.0)
    scores = logits(items, users, np.array([0, 1]), np.array([0, 1]))

    # new items click by half; residuals of +.5, -.5 of one exposure, shrunk by 1 + 4, times 4
    np.testing.assert_allclose(scores, [[0.4, -0.4], [-0.4, 0.0]], atol=1e-12)
