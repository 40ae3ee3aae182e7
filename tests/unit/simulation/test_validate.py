from dataclasses import replace

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.simulation import shop
from recbench.simulation.shop import LIKE_A_SHOP, Habits, shop_clicks
from recbench.simulation.validate import compared

LITTLE = replace(LIKE_A_SHOP, days=1.5, n_users=300, n_live=200, n_categories=20)


@pytest.fixture(autouse=True)
def _long_ticks(monkeypatch):
    monkeypatch.setattr(shop, "TICK_S", 60.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_world_held_against_its_own_kind_lies_within_the_interval_and_another_does_not():
    real = shop_clicks(LITTLE, Habits(), seed=1)
    curve, traits = compared(real, LITTLE, share=0.4, seeds=[2, 3])
    fading = replace(LITTLE, item_half_life_h=2.0)
    other, others = compared(real, fading, share=0.4, seeds=[2, 3])

    assert curve["cadence"].to_list() == ["never", "1 d", "1 h", "15 min"]
    assert curve["inside"].to_list() == [True, None, True, True]
    assert not other["inside"].all()
    # of pauses longer than a break there are a handful, and of visits with many returns
    few = pl.col("trait").is_in(["returns_after_break", "returns_alike"])
    for trait, there, here in traits.filter(~few).iter_rows():
        assert here == pytest.approx(there, rel=0.25, abs=0.1), trait
    new = others.filter(trait="on_new_items").row(0, named=True)
    assert new["simulated"] > 2 * new["real"]


def test_one_world_is_refused():
    with pytest.raises(InputError, match="at least 2 worlds, got 1"):
        compared(pl.DataFrame(), share=0.4, seeds=[1])
