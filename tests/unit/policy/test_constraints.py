import numpy as np
import pytest

from recbench.errors import InputError
from recbench.policy.constraints import ExposureFloor


def test_price_finds_the_share_that_is_asked_for():
    """Protected items are worse by .1: a price of about that shows them in half of the slots."""
    rng, floor = np.random.default_rng(0), ExposureFloor(least=0.5, rate=0.02)
    protected = np.arange(20) >= 10
    for _ in range(4_000):
        scores = rng.normal(scale=0.05, size=20) - 0.1 * protected
        shown = np.argsort(-floor.priced(scores, protected))[:5]
        floor.shown(protected[shown])
    assert floor.share == pytest.approx(0.5, abs=0.05)
    assert floor.price == pytest.approx(0.1, abs=0.02)
    assert 0.45 < floor.shown_share < 0.5


def test_floor_that_is_kept_anyway_costs_nothing():
    floor = ExposureFloor(least=0.1)
    for _ in range(100):
        floor.shown(np.array([True, False]))
    assert floor.price == 0
    assert floor.priced(np.ones(2), np.array([True, False])).tolist() == [1, 1]


def test_chance_may_show_only_what_is_protected_while_the_share_is_short():
    floor, protected = ExposureFloor(least=0.5), np.array([True, False, False])
    assert floor.may_draw(protected).all()
    floor.shown(np.zeros(10, dtype=bool))
    assert floor.may_draw(protected).tolist() == [True, False, False]
    assert floor.may_draw(np.zeros(3, dtype=bool)).all()
    floor.shown(np.ones(10_000, dtype=bool))
    assert floor.may_draw(protected).all()


def test_nothing_shown_changes_nothing_and_shares_must_be_shares():
    floor = ExposureFloor(least=0.5)
    floor.shown(np.zeros(0, dtype=bool))
    assert floor.share is None
    assert np.isnan(floor.shown_share)
    with pytest.raises(InputError, match=r"`least` must lie in \[0, 1\], got 2"):
        ExposureFloor(least=2)
    with pytest.raises(InputError, match="`rate` must be positive, got 0"):
        ExposureFloor(least=0.5, rate=0)
