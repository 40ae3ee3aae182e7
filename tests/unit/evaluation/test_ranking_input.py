"""What is refused by the ranking metrics, and what is said about it."""

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.ranking import check_recommendations, evaluate

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


def test_nobody_to_evaluate_is_an_error():
    with pytest.raises(InputError, match="No user of the test has a relevant item"):
        evaluate(lists({1: [7]}), train=events((1, 7)), test=events((1, 7)))


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
    ],
)
def test_malformed_events_are_refused(bad, message):
    with pytest.raises(InputError, match=message):
        evaluate(lists({1: [7]}), train=NOBODY, seen=bad, test=events((1, 7)))


def test_lists_must_have_a_length():
    with pytest.raises(InputError, match="`k` must be at least 1, got 0"):
        evaluate(lists({1: [7]}), train=NOBODY, test=events((1, 7)), k=0)
