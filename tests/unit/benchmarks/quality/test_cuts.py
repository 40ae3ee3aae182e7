"""Rolling cut-offs: tests that do not overlap, each tuned on what comes right before it."""

from itertools import pairwise

import polars as pl
import pytest

from recbench.benchmarks.quality import rolling_cuts
from recbench.errors import InputError


def test_tests_follow_each_other_and_end_with_the_log(tiny_events):
    cuts = rolling_cuts(tiny_events, n_cuts=3, share=0.1)
    tests = [cut.test(tiny_events) for cut in cuts]
    assert tests[0]["ts"].max() == tiny_events["ts"].max()
    together = pl.concat(reversed(tests))
    assert together["event_id"].to_list() == tiny_events[-len(together) :]["event_id"].to_list()
    assert [len(test) for test in tests] == [240, 240, 240]


def test_nothing_of_the_test_is_in_the_past_nor_of_the_validation_in_train(tiny_events):
    for cut in rolling_cuts(tiny_events, n_cuts=2):
        parts = [part(tiny_events) for part in (cut.train, cut.validation, cut.test)]
        for before, after in pairwise(parts):
            assert before["ts"].max() < after["ts"].min()
        assert len(parts[0]) + len(parts[1]) == len(cut.past(tiny_events))


def test_cuts_that_leave_little_to_learn_from_are_refused(tiny_events):
    with pytest.raises(InputError, match=r"9 cuts with 0\.1 .* leave 0\.00"):
        rolling_cuts(tiny_events, n_cuts=9)
