"""The price of a floor, estimated from lists whose truth is known."""

import json

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy.floor import floor_price
from recbench.evaluation.off_policy.reward import Reward

FREE, N, SLOTS = 0.1, 6_000, 3
PLAIN, PROTECTED = 0.4, 0.2  # how often each kind of item is clicked


def served(*, least=0.5, n=N, free=FREE, seed=0):
    """Lists of three. With the floor each slot is a protected item with chance ``least``."""
    rng = np.random.default_rng(seed)
    is_kept = np.repeat(rng.random(n) >= free, SLOTS)
    share = np.where(is_kept, least, 0.1)
    protected = rng.random(n * SLOTS) < share
    return pl.DataFrame(
        {
            "request_id": np.repeat(np.arange(n), SLOTS),
            "item_id": np.arange(n * SLOTS),
            "floor_kept": is_kept,
            "floor_chance": np.where(is_kept, 1 - free, free),
            "protected": protected,
            "clicked": rng.random(n * SLOTS) < np.where(protected, PROTECTED, PLAIN),
        }
    )


def test_price_of_a_floor_is_that_of_the_truth():
    found = floor_price(served(), Reward())
    assert found.reasons == ()
    # .4 of the slots more are protected items, which are clicked .2 less often
    assert found.lost.low < 0.4 * (PLAIN - PROTECTED) < found.lost.high
    assert found.gained_share.low < 0.4 < found.gained_share.high
    assert found.lost.low > 0


def test_floor_that_changes_nothing_costs_nothing():
    found = floor_price(served(least=0.1), Reward())
    assert found.lost.low < 0 < found.lost.high
    assert found.gained_share.low < 0 < found.gained_share.high


def test_columns_may_lie_within_extra_and_other_lists_are_left_out():
    whole = served()
    names = ["floor_kept", "floor_chance", "protected"]
    extra = [
        json.dumps({"release": "r"} | dict(zip(names, row, strict=True)))
        for row in whole.select(names).iter_rows()
    ]
    nested = whole.drop(names).with_columns(extra=pl.Series(extra))
    others = nested[:300].with_columns(pl.col("request_id") + N, extra=pl.lit('{"release": "r"}'))
    found = floor_price(pl.concat([nested, others]), Reward())
    assert found.to_json() == floor_price(whole, Reward()).to_json()


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (served(n=500), "rows are worth"),
        (served(free=0.01), "the mean weight is known to"),
        (
            served().with_columns(floor_chance=pl.col("floor_chance") * 0 + 0.5),
            "of its choices are never logged",
        ),
    ],
)
def test_where_the_log_cannot_tell_there_is_no_price(log, why):
    found = floor_price(log, Reward())
    assert any(why in reason for reason in found.reasons)
    assert (found.lost, found.gained_share) == (None, None)


def test_log_in_which_every_list_is_of_one_kind_is_refused():
    with pytest.raises(InputError, match="have no column `floor_kept`"):
        floor_price(served().drop("floor_kept"), Reward())
    for is_kept, what in ((True, "without"), (False, "with the floor")):
        alike = served(n=100).with_columns(floor_kept=pl.lit(is_kept))
        with pytest.raises(InputError, match=f"None of 300 slots was made {what}: a share"):
            floor_price(alike, Reward())


def test_chance_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"`propensities` must lie in \(0, 1\]"):
        floor_price(served().with_columns(floor_chance=pl.lit(0.0)), Reward())
