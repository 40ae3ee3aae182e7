import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.simulation.refreshing import QUARTERLY, Cadence
from recbench.simulation.surface import Grid, crossings, surface, uplifts
from recbench.simulation.twins import TwinPlan

PLAN = TwinPlan(arms=(Cadence("six-hourly", 6.0, 6.0), QUARTERLY), warmup_days=0.25)


def test_a_cell_is_the_twins_of_its_dials_whatever_runs_them(little):
    grid = Grid(taste_half_life_h=(4.0,), item_half_life_h=(3.0, 6.0), label_delay_s=(600.0,))

    def backwards(work, cells):
        return reversed([work(cell) for cell in reversed(list(cells))])

    found = surface(little, PLAN, grid, seeds=[1, 2])
    assert surface(little, PLAN, grid, seeds=[1, 2], across=backwards).equals(found)
    table = uplifts(found, PLAN)
    assert table["item_half_life_h"].to_list() == [3.0, 6.0]
    assert (table["click_rate_low"] < table["click_rate"]).all()
    assert (table["click_rate"] < table["click_rate_high"]).all()


def line(uplift, *, half_width=0.1):
    return pl.DataFrame(
        {
            "taste_half_life_h": 24.0,
            "item_half_life_h": [10.0, 100.0, 1_000.0],
            "label_delay_s": 0.0,
            "click_rate": uplift,
            "click_rate_low": np.array(uplift) - half_width,
            "click_rate_high": np.array(uplift) + half_width,
        }
    )


def test_the_contour_is_crossed_between_the_neighbours_on_a_log_scale():
    found = crossings(line([0.6, 0.4, 0.0]), metric="click_rate", level=0.2)

    # halfway between 100 and 1000 in logs; the bounds cross a quarter to either side
    assert found["item_half_life_h"].to_list() == pytest.approx([100 * 10**0.5])
    assert found["low"].to_list() == pytest.approx([100 * 10**0.25])
    assert found["high"].to_list() == pytest.approx([100 * 10**0.75])


def test_a_level_that_no_world_of_the_grid_reaches_has_no_crossing():
    found = crossings(line([0.6, 0.5, 0.4]), metric="click_rate", level=0.2)

    assert found["item_half_life_h"].to_list() == [None]


def test_another_metric_is_refused():
    with pytest.raises(InputError, match="got 'likes'"):
        crossings(line([0.6, 0.4, 0.0]), metric="likes", level=0.2)
