import polars as pl
import pytest

from recbench.cluster.compare import (
    EVALUATION_SEEDS,
    arms_table,
    claims,
    compare,
    result,
    savings_table,
)
from recbench.cluster.load_trace import day_of_load
from recbench.cluster.scaling import ScalingPolicy
from recbench.cluster.simulate import Machine
from recbench.cluster.tune import TUNING_SEEDS, chosen

ARMS = (
    "fixed, largest",
    "best static",
    "reactive",
    "reactive with headroom",
    "Dask's rule",
    "ours",
    "clairvoyant bound",
)


def frame(costs, missed=(0, 0, 5, 1, 0, 0, 0)):
    rows = [
        {
            "trace": f"day {day}",
            "arm": arm,
            "cost": cost * (1 + day),
            "missed": n_missed,
            "workers": 1.0,
            "kwh": 1.0,
            "carbon_kg": 1.0,
            "starts": 1,
            "busy_s": 1.0,
            "paid_s": 2.0,
        }
        for day in range(2)
        for arm, cost, n_missed in zip(ARMS, costs, missed, strict=True)
    ]
    return pl.DataFrame(rows)


def test_no_day_is_judged_on_that_a_dial_was_chosen_on():
    assert not set(TUNING_SEEDS) & set(EVALUATION_SEEDS)
    assert len(EVALUATION_SEEDS) >= 30


def test_savings_are_shares_of_each_day_by_hand():
    # 10 of 20 is saved on both days, so the interval has no width; 10 is a fourth above 8
    table = savings_table(frame((40, 20, 9, 16, 12.5, 10, 8)))
    rows = {row["against"]: row for row in table.to_dicts()}

    assert (rows["best static"]["low"], rows["best static"]["high"]) == (0.5, 0.5)
    assert rows["clairvoyant bound"]["saved"] == pytest.approx(-0.25)
    assert rows["reactive"]["missed"] == 10
    assert rows["reactive"]["missed by ours"] == 0


def test_each_bar_is_held_or_not():
    good = result(savings_table(frame((40, 20, 9, 16, 12, 10, 9))))
    late = result(savings_table(frame((40, 20, 9, 16, 12, 10, 9), missed=(0, 0, 0, 0, 0, 1, 0))))
    dear = result(savings_table(frame((40, 20, 9, 9, 12, 10, 8))))

    assert [good[bar] for bar in ("bar_misses", "bar_bound", "bar_saves")] == [1, 1, 1]
    assert late["bar_misses"] == 0
    assert (dear["bar_bound"], dear["bar_saves"]) == (0, 0)


def test_claims_are_told_with_their_figures():
    costs = (40, 20, 9, 16, 12, 10, 9)  # the best static size 20, headroom 16, ours 10, bound 9
    assert claims(savings_table(frame(costs))) == [
        "holds: misses no more deadlines than the best static size (0 and 0)",
        "holds: at most 15% dearer than the clairvoyant bound (11.1%)",
        "holds: saves against the best static size (50.0% to 50.0%) and against reactive with "
        "headroom (37.5% to 37.5%)",
    ]
    late = claims(savings_table(frame(costs, missed=(0, 0, 0, 0, 0, 1, 0))))
    assert late[0].startswith("DOES NOT HOLD: misses no more")
    assert late[0].endswith("(2 and 0)")


def test_arms_are_told_in_one_order():
    assert arms_table(frame(range(1, 8)).reverse())["arm"].to_list() == list(ARMS)


def test_every_arm_pays_at_least_the_bound_on_a_small_day():
    (day,) = compare([day_of_load(7, peak_workers=2)], Machine(most=8), ScalingPolicy(maximum=8))
    costs = dict(day.frame.filter(pl.col("missed") == 0).select("arm", "cost").iter_rows())

    assert set(day.workers) == set(ARMS[:-1])
    assert min(costs, key=costs.get) == "clairvoyant bound"


def test_of_those_that_serve_the_most_cautious_one_that_is_nearly_cheapest_is_chosen():
    table = pl.DataFrame(
        {
            "setting": ["bold", "cheapest", "cautious", "fearful"],
            "cost": [90.0, 100.0, 102.0, 104.0],
            "missed": [9, 0, 0, 0],
            "serves": [False, True, True, True],
        }
    )

    assert chosen(table) == "cautious"
    assert chosen(table.with_columns(serves=False)) == "cheapest"
