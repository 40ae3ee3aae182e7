"""What is refused by the ranking metrics, and what is said about it."""

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.checks import check_recommendations
from recbench.evaluation.ranking import evaluate, paired_difference

NOBODY = pl.DataFrame(schema={"user_id": pl.Int64, "item_id": pl.Int64})


def events(*pairs, **further):
    users, items = zip(*pairs, strict=True)
    return pl.DataFrame({"user_id": users, "item_id": items, **further})


def lists(by_user, **dtypes):
    """``{user: [first item, second, …]}`` as recommendations."""
    rows = [(u, i, r) for u, items in by_user.items() for r, i in enumerate(items, start=1)]
    return pl.DataFrame(
        rows,
        schema={"user_id": pl.Int64, "item_id": pl.Int64, "rank": pl.Int32} | dtypes,
        orient="row",
    )


def test_an_unknown_group_is_refused():
    result = evaluate(lists({1: [7]}), train=NOBODY, test=events((1, 7)))
    with pytest.raises(InputError, match="got 'new'"):
        result.values("ndcg@20", "new")


@pytest.mark.parametrize("metric", ["ndcg@5", "map@20", "known"])
def test_an_unknown_metric_is_refused(metric):
    result = evaluate(lists({1: [7]}), train=NOBODY, test=events((1, 7)))
    with pytest.raises(InputError, match=f"one of .*'ndcg@20'.*, got '{metric}'"):
        result.interval(metric)


def test_lists_of_two_lengths_cannot_be_compared():
    a, b = (evaluate(lists({1: [7]}), train=NOBODY, test=events((1, 7)), k=k) for k in (20, 5))
    with pytest.raises(InputError, match=r"one of .*'ndcg@5'.*, got 'ndcg@20'"):
        paired_difference(a, b, metric="ndcg@20")


@pytest.mark.parametrize(("repeats", "clicked"), [(False, True), (True, False)])
def test_nobody_to_evaluate_is_an_error(repeats, clicked):
    test = events((1, 7), clicked=[clicked])
    with pytest.raises(InputError, match=f"has a relevant item .* its {clicked:d} clicked pairs"):
        evaluate(lists({1: [7]}), train=events((1, 7)), test=test, repeats=repeats)


@pytest.mark.parametrize(
    ("recs", "message"),
    [
        (lists({1: [7]}).drop("rank"), r"lack \['rank'\]; they have \['user_id', 'item_id'\]"),
        (lists({1: [7, 7]}), "User 1 is recommended item 7 twice"),
        (
            lists({4: [7, 8]}).with_columns(rank=pl.Series([1, 1])),
            "user 4 has 2 items with ranks 1 to 1",
        ),
        (
            lists({4: [7, 8]}).with_columns(rank=pl.Series([1, 3])),
            "user 4 has 2 items with ranks 1 to 3",
        ),
        (
            lists({4: [7, 8]}).with_columns(rank=pl.Series([0, 1])),
            "user 4 has 2 items with ranks 0 to 1",
        ),
        (lists({1: [7]}).cast({"item_id": pl.Float64}), "`item_id` of the rec.* got Float64"),
        (lists({1: [7]}).cast({"user_id": pl.String}), "`user_id` of the rec.* got String"),
        (
            lists({1: [None]}),
            "`item_id` of the recommendations must be .* got Int64 with 1 nulls",
        ),
        (
            lists({1: [2**64 - 1]}, item_id=pl.UInt64),
            "`item_id` of the recommendations must fit into int64, but 18446744073709551615",
        ),
        (
            lists({4: [7, 8]}).with_columns(score=pl.Series([1.0, float("nan")])),
            "User 4 is recommended item 8 with the score nan",
        ),
        (
            lists({4: [7]}).with_columns(score=pl.lit(None, pl.Float32)),
            "User 4 is recommended item 7 with the score None",
        ),
        (
            lists({4: [7]}).with_columns(score=pl.lit("high")),
            "`score` of the recommendations must be numbers, got String",
        ),
    ],
)
def test_malformed_recommendations_are_refused(recs, message):
    with pytest.raises(InputError, match=message):
        check_recommendations(recs)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (events((1, 7)).drop("item_id"), r"of seen lack \['item_id'\]; they have \['user_id'\]"),
        (events((None, 7), (1, 8)), "`user_id` of the events of seen .* got Int64 with 1 nulls"),
        (events((1, 7.5)), "`item_id` of the events of seen must be whole .* got Float64"),
        (
            events((1, 2**63)).cast({"item_id": pl.UInt64}),
            "`item_id` of the events of seen must fit into int64, but 9223372036854775808",
        ),
        (
            events((1, 7), clicked=["yes"]),
            "`clicked` of the events of seen must be true or false, got String",
        ),
    ],
)
def test_malformed_events_are_refused(bad, message):
    with pytest.raises(InputError, match=message):
        evaluate(lists({1: [7]}), train=NOBODY, seen=bad, test=events((1, 7)))


def test_lists_must_have_a_length():
    with pytest.raises(InputError, match="`k` must be at least 1, got 0"):
        evaluate(lists({1: [7]}), train=NOBODY, test=events((1, 7)), k=0)
