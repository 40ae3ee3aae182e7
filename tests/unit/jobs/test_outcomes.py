"""What a refresh is remembered by."""

from recbench.jobs.outcomes import Outcome, summary
from recbench.jobs.refresh_tables import outcome_table
from recbench.refresh.forecast import Done


def outcome(**more):
    given = {"n_events": 10, "share": 0.01, "gain": 0.1, "gain_error": 0.01, "cpu_s": 8.0}
    done = Done(**(given | more))
    return Outcome(decision="publish", reasons=(), release="r", current="r", done=done)


def test_joules_are_told_for_each_hundredth_that_was_gained():
    told = summary(outcome(joules=28.0, ndcg_gain=0.02), [])

    assert (told["joules"], told["joules_per_hundredth"]) == (28.0, 14.0)


def test_joules_for_nothing_have_no_price():
    told = summary(outcome(joules=28.0, ndcg_gain=-0.02), [])

    assert told["joules"] == 28.0
    assert "joules_per_hundredth" not in told


def test_joules_that_were_not_counted_are_not_told():
    assert "joules" not in summary(outcome(), [])


def test_the_table_tells_them_in_words():
    def said(one):
        rows = dict(outcome_table(one).iter_rows())
        return rows["joules"]

    assert said(outcome()) == "not counted"
    assert said(outcome(joules=28.0)) == "28"
    assert said(outcome(joules=28.0, ndcg_gain=0.02)) == "28, 14 for each +0.01 NDCG"


def test_outcomes_of_before_joules_were_counted_are_still_read():
    held = outcome().to_json()
    del held["done"]["joules"], held["done"]["ndcg_gain"]

    assert Outcome.from_json(held).done.joules is None
