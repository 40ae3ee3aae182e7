"""Leaving each user's last event out: nothing of it is known, and exactly it is asked for."""

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.benchmarks import leave_one_out
from recbench.benchmarks.leave_one_out import left_out
from recbench.errors import InputError


@pytest.mark.parametrize("back", [0, 2])
def test_one_event_of_each_user_is_asked_for_and_those_before_it_are_known(tiny_data, back):
    stage, exam = left_out(tiny_data, back=back)
    events = tiny_data.events.sort(c.TS, maintain_order=True)
    for user in exam.queries.user_ids[:5].tolist():
        items = events.filter(pl.col(c.USER_ID) == user)[c.ITEM_ID].to_list()
        asked = exam.test.filter(pl.col(c.USER_ID) == user)[c.ITEM_ID].to_list()
        assert asked == [items[-1 - back]]
        query = exam.queries.take(exam.queries.user_ids == user)
        known = query.log.item_rows[query.starts[0] : query.ends[0]]
        assert query.items.ids[known].tolist() == items[: -1 - back]
    assert np.isfinite(stage.lists(exam).features).all()


def test_a_tie_of_one_instant_keeps_the_order_of_the_file(tiny_data):
    events = tiny_data.events.with_columns(pl.col(c.TS).min())
    tied = type(tiny_data)("tied", "masked", events, tiny_data.items, version=0)
    _, exam = left_out(tied, back=0)
    lengths = events.group_by(c.USER_ID).len().sort(c.USER_ID)["len"].to_numpy()
    assert np.array_equal(exam.queries.lengths, lengths - 1)


def test_no_run_at_all_is_refused():
    with pytest.raises(InputError, match="got 0"):
        leave_one_out.run(runs=0)
