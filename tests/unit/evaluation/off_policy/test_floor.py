"""The price of a floor, estimated from lists whose truth is known."""

import json

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy.floor import floor_price
from recbench.evaluation.off_policy.reward import Reward

N_ITEMS, EPSILON, N = 10, 0.4, 8_000
RATES = np.linspace(0.5, 0.05, N_ITEMS)  # the rule's order is that of the rates
PROTECTED = np.arange(N_ITEMS) >= 5


def served(*, bites=0.5, bound=0.25, n=N, seed=0):
    """One slot a request. In ``bites`` of them a protected item stands where the best would.

    In ``bound`` of the requests chance draws protected items only, so nothing can be told.
    """
    rng = np.random.default_rng(seed)
    best = np.where(rng.random(n) < bites, 5, 0)
    is_bound = rng.random(n) < bound
    drawn = np.where(is_bound, rng.integers(5, N_ITEMS, n), rng.integers(0, N_ITEMS, n))
    item = np.where(rng.random(n) < EPSILON, drawn, best)
    even = EPSILON / N_ITEMS
    chance = (1 - EPSILON) * (item == best) + even
    if_bound = (1 - EPSILON) * (item == best) + EPSILON / 5 * (item >= 5)
    otherwise = (1 - EPSILON) * (item == 0) + even
    return pl.DataFrame(
        {
            "request_id": np.arange(n),
            "position": np.zeros(n, dtype=np.int16),
            "item_id": item,
            "propensity": np.where(is_bound, if_bound, chance),
            "without_floor": pl.Series(otherwise).set(pl.Series(is_bound), None),
            "protected": PROTECTED[item],
            "clicked": rng.random(n) < RATES[item],
        }
    )


def test_price_of_a_floor_is_that_of_the_truth():
    found = floor_price(served(), Reward())
    (difference,) = (v.difference for v in found.reward.verdicts if v.difference)
    # half of the slots of the rule, .6, show item 5 for item 0
    truth = 0.5 * (1 - EPSILON) * (RATES[0] - RATES[5])
    assert difference.bootstrap.low < truth < difference.bootstrap.high
    assert difference.bootstrap.low > 0
    assert found.lost == difference.bootstrap.value
    assert found.gained_share == pytest.approx(0.5 * (1 - EPSILON), abs=0.05)
    assert found.n_slots + found.n_bound == N
    assert found.reasons == ()


def test_floor_that_changes_nothing_costs_nothing():
    found = floor_price(served(bites=0.0), Reward())
    assert found.lost == found.gained_share == 0.0


def test_columns_may_lie_within_extra():
    whole = served(n=2_000)
    extra = [
        json.dumps({"release": "r", "without_floor": chance, "protected": is_protected})
        for chance, is_protected in whole.select("without_floor", "protected").iter_rows()
    ]
    nested = whole.drop("without_floor", "protected").with_columns(extra=pl.Series(extra))
    assert floor_price(nested, Reward()).to_json() == floor_price(whole, Reward()).to_json()


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (served(n=150), "rows are worth"),
        (served(bound=0.9), "the floor bound chance in 90% of the slots"),
        (
            served().with_columns(without_floor=pl.col("without_floor") / 2),
            "of its choices are never logged",
        ),
    ],
)
def test_where_the_log_cannot_tell_there_is_no_price(log, why):
    found = floor_price(log, Reward())
    assert any(why in reason for reason in found.reasons)
    assert (found.lost, found.gained_share) == (None, None)


def test_log_without_a_floor_is_refused():
    with pytest.raises(InputError, match="have no column `without_floor`"):
        floor_price(served().drop("without_floor"), Reward())
    nothing = served(n=300).with_columns(without_floor=pl.lit(None, pl.Float64))
    with pytest.raises(InputError, match="None of 300 slots of chance tells"):
        floor_price(nothing, Reward())
