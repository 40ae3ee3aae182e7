"""Metrics of given lists against numbers worked by hand and against a naive loop."""

import math

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.intervals import Interval
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


def value(result, metric, group="all"):
    return result.to_json()[metric][group]["value"]


def test_one_relevant_item_at_rank_two():
    recs = lists({1: [100, 7, *range(101, 109)]})
    result = evaluate(recs, train=NOBODY, test=events((1, 7)), k=10)
    # DCG = 1 / log2(3) = .6309; ideal: one item at rank 1 = 1
    assert value(result, "ndcg@10") == pytest.approx(0.6309, abs=5e-5)
    assert value(result, "recall@10") == 1.0
    assert value(result, "precision@10") == pytest.approx(0.1)
    assert value(result, "mrr@10") == 0.5
    assert value(result, "hit_rate@10") == 1.0


def test_recall_divides_by_all_relevant_items():
    result = evaluate(
        lists({1: range(10)}), train=NOBODY, test=events(*((1, i) for i in range(40))), k=10
    )
    assert value(result, "recall@10") == 0.25  # 10 hits of 40
    assert value(result, "ndcg@10") == pytest.approx(1.0)  # no list of 10 could be better
    assert value(result, "precision@10") == 1.0


def test_the_ideal_list_is_no_longer_than_the_relevant_items():
    recs = lists({1: [1, 100, 2]})
    result = evaluate(recs, train=NOBODY, test=events((1, 1), (1, 2)), k=3)
    # DCG = 1 + 1 / log2(4) = 1.5; ideal of two = 1 + 1 / log2(3) = 1.6309
    assert value(result, "ndcg@3") == pytest.approx(1.5 / (1 + 1 / math.log2(3)))
    assert value(result, "recall@3") == 1.0


def test_ranks_beyond_k_do_not_count():
    result = evaluate(lists({1: [100, 101, 7]}), train=NOBODY, test=events((1, 7)), k=2)
    assert value(result, "ndcg@2") == value(result, "hit_rate@2") == value(result, "mrr@2") == 0.0


def test_an_item_clicked_twice_in_the_test_is_one_relevant_item():
    result = evaluate(lists({1: [7]}), train=NOBODY, test=events((1, 7), (1, 7)), k=1)
    assert value(result, "recall@1") == 1.0


def test_only_clicked_rows_are_relevant_seen_or_known():
    test = events((1, 7), (1, 8), (2, 7), clicked=[True, False, True])
    train = events((1, 7), (2, 9), clicked=[False, True])
    result = evaluate(lists({1: [7], 2: [7]}), train=train, test=test, k=1)
    assert result.by_user["n_relevant"].to_list() == [1, 1]
    assert result.by_user["known"].to_list() == [False, True]
    assert value(result, "recall@1") == 1.0


def test_a_null_clicked_is_nobodys_click():
    test = events((1, 7), (1, 8), (1, 9), clicked=[None, True, False])
    result = evaluate(lists({1: [8]}), train=NOBODY, test=test, k=1)
    assert result.by_user["n_relevant"].to_list() == [1]
    assert value(result, "recall@1") == 1.0


def test_clicks_may_be_written_as_zero_and_one():
    test = events((1, 7), (1, 8), clicked=[1, 0])
    result = evaluate(lists({1: [7]}), train=NOBODY, test=test, k=1)
    assert result.by_user["n_relevant"].to_list() == [1]


def test_seen_items_leave_both_sides_and_the_list_closes_up():
    recs = lists({1: [5, 6, 7]})
    result = evaluate(
        recs, train=events((1, 5)), seen=events((1, 6)), test=events((1, 5), (1, 6), (1, 7)), k=1
    )
    # without 5 and 6 the list is [7] and 7 the one relevant item
    assert result.by_user["n_relevant"].to_list() == [1]
    assert value(result, "ndcg@1") == 1.0
    assert result.left_out["n_repeats_dropped"] == 2


def test_repeats_stay_on_both_sides_where_allowed():
    recs = lists({1: [5, 6, 7]})
    result = evaluate(recs, train=events((1, 5)), test=events((1, 5), (1, 7)), k=2, repeats=True)
    # list [5, 6], relevant {5, 7}: DCG 1, ideal 1 + 1 / log2(3)
    assert value(result, "ndcg@2") == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert value(result, "recall@2") == 0.5
    assert result.left_out["n_repeats_dropped"] == 0


def test_users_without_a_list_count_zero():
    result = evaluate(lists({1: [7]}), train=NOBODY, test=events((1, 7), (2, 7)), k=1)
    assert value(result, "ndcg@1") == 0.5
    assert result.left_out["n_users_without_list"] == 1


def test_users_with_nothing_relevant_are_left_out_and_counted():
    result = evaluate(
        lists({1: [7], 2: [7]}), train=events((2, 8)), test=events((1, 7), (2, 8)), k=1
    )
    assert result.to_json()["ndcg@1"]["all"] == {
        "value": 1.0,
        "low": 1.0,
        "high": 1.0,
        "n_users": 1,
    }
    assert result.left_out["n_users_without_relevant"] == 1


def test_lists_of_users_outside_the_test_are_not_judged():
    result = evaluate(lists({1: [7], 9: [8]}), train=NOBODY, test=events((1, 7)), k=1)
    assert result.by_user["user_id"].to_list() == [1]
    assert result.lists["coverage@1"] == 0.5  # item 7 of the items 7 and 8


def test_train_makes_known_and_seen_does_not():
    result = evaluate(
        lists({1: [7], 2: [8]}),
        train=events((1, 5)),
        seen=events((2, 5)),
        test=events((1, 7), (2, 7)),
        k=1,
    )
    assert result.to_json()["ndcg@1"]["known"]["value"] == 1.0
    assert result.to_json()["ndcg@1"]["unknown"]["value"] == 0.0


def test_novelty_is_about_train_alone():
    recs, test = lists({1: [7]}), events((1, 7))
    result = evaluate(recs, train=events((2, 8)), seen=events((3, 7), (4, 7)), test=test, k=1)
    assert result.lists["novelty@1"] == pytest.approx(math.log2(3))  # (0 + 1) / (1 + 2)


def test_a_group_without_users_is_absent():
    result = evaluate(lists({1: [7]}), train=NOBODY, test=events((1, 7)), k=1)
    assert set(result.to_json()["ndcg@1"]) == {"all", "unknown"}
    assert result.interval("ndcg@1", "known") is None


def test_a_recommended_item_that_nobody_ever_clicked_belongs_to_the_catalogue():
    result = evaluate(lists({1: [7, 8, 9]}), train=NOBODY, test=events((1, 7)), k=3)
    # three items in the catalogue, each shown once
    assert result.lists["coverage@3"] == 1.0
    assert result.lists["exposure_gini@3"] == pytest.approx(0.0)
    assert result.lists["novelty@3"] == pytest.approx(math.log2(3))  # (0 + 1) / (0 + 3) each


def test_an_item_that_was_shown_but_never_clicked_belongs_to_the_catalogue():
    train = events((1, 5), (1, 6), clicked=[True, False])
    result = evaluate(lists({1: [7]}), train=train, test=events((1, 7)), k=1)
    assert result.lists["coverage@1"] == pytest.approx(1 / 3)  # 7 of 5, 6 and 7


@pytest.mark.parametrize("dtype", [pl.Int32, pl.UInt32, pl.UInt64])
def test_ids_of_any_integer_type_are_the_same_ids(dtype):
    recs = lists({1: [5, 7]}, user_id=dtype, item_id=dtype)
    result = evaluate(recs, train=events((1, 5)), test=events((1, 7)), k=1)
    assert value(result, "ndcg@1") == 1.0


def naive(recs, relevant, k):
    """Each metric of one list, rank by rank."""
    dcg = hits = first = 0.0
    for rank, item in enumerate(recs[:k], start=1):
        if item in relevant:
            dcg += 1 / math.log2(rank + 1)
            hits += 1
            first = first or 1 / rank
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return {
        f"ndcg@{k}": dcg / ideal,
        f"recall@{k}": hits / len(relevant),
        f"precision@{k}": hits / k,
        f"mrr@{k}": first,
        f"hit_rate@{k}": float(hits > 0),
    }


@pytest.mark.parametrize("repeats", [False, True])
def test_metrics_equal_a_naive_loop(repeats):
    rng = np.random.default_rng(7)
    n_users, n_items, k = 30, 25, 6
    recs = {u: rng.permutation(n_items)[: rng.integers(1, 15)].tolist() for u in range(n_users)}
    seen = {u: set(rng.integers(0, n_items, 4).tolist()) for u in range(n_users)}
    test = {u: set(rng.integers(0, n_items, 5).tolist()) for u in range(n_users)}
    result = evaluate(
        lists(recs),
        train=events(*((u, i) for u in seen for i in seen[u])),
        test=events(*((u, i) for u in test for i in test[u])),
        repeats=repeats,
        k=k,
    )
    rows = []
    for user in range(n_users):
        masked = set() if repeats else seen[user]
        if relevant := test[user] - masked:
            rows.append(naive([i for i in recs[user] if i not in masked], relevant, k))
    for metric in rows[0]:
        expected = [row[metric] for row in rows]
        assert result.by_user[metric].to_list() == pytest.approx(expected, rel=1e-12)
        assert value(result, metric) == pytest.approx(sum(expected) / len(expected), rel=1e-12)


def test_intervals_hold_the_mean_and_repeat_with_the_seed():
    recs = lists({u: [u % 3] for u in range(50)})
    test = events(*((u, 0) for u in range(50)))
    one, again = (evaluate(recs, train=NOBODY, test=test, k=1, seed=3) for _ in range(2))
    interval = one.to_json()["ndcg@1"]["all"]
    assert interval["low"] < interval["value"] < interval["high"]
    assert one.to_json() == again.to_json()
    assert evaluate(recs, train=NOBODY, test=test, k=1, seed=4).to_json() != one.to_json()


def test_the_table_has_one_row_a_group_and_metric():
    result = evaluate(
        lists({1: [7], 2: [8]}), train=events((1, 5)), test=events((1, 7), (2, 7)), k=1
    )
    table = result.table()
    assert table.columns == ["users", "metric", "value", "low", "high", "n_users"]
    assert len(table) == 15  # 3 groups, 5 metrics
    row = table.filter((pl.col("users") == "known") & (pl.col("metric") == "mrr@1"))
    assert row.rows() == [("known", "mrr@1", 1.0, 1.0, 1.0, 1)]


def test_table_and_json_hold_the_same_intervals_as_a_metric_asked_for_alone():
    rng = np.random.default_rng(0)
    recs = lists({u: rng.permutation(20).tolist() for u in range(40)})
    result = evaluate(recs, train=events((1, 99)), test=events(*((u, u % 7) for u in range(40))))
    figures = result.to_json()
    for group, metric, *bounds, n_users in result.table().iter_rows():
        alone = result.interval(metric, group)
        held = figures[metric][group]
        assert bounds == [held["value"], held["low"], held["high"]]
        # one column and five are multiplied in another order: the last bits may differ
        assert bounds == pytest.approx([alone.value, alone.low, alone.high], rel=1e-12)
        assert n_users == held["n_users"] == alone.n_users


def test_a_paired_difference_is_the_bootstrap_of_the_differences():
    test = events(*((u, 0) for u in range(40)))
    a, b = (
        evaluate(lists({u: [(u + s) % 3, 9] for u in range(40)}), train=NOBODY, test=test, seed=5)
        for s in (0, 1)
    )
    gaps = (a.values("mrr@20") - b.values("mrr@20")).to_numpy()
    drawn = np.random.default_rng(5).integers(0, 40, size=(2_000, 40))
    low, high = np.quantile([gaps[users].mean() for users in drawn], [0.025, 0.975])
    difference = paired_difference(a, b, metric="mrr@20")
    assert (difference.value, difference.low, difference.high) == pytest.approx(
        (gaps.mean(), low, high)
    )


def test_paired_difference_is_narrower_than_the_two_intervals():
    test = events(*((u, 0) for u in range(40)))
    # b finds the item at rank 2 for everyone; a at rank 1, but for one user at rank 2
    a = evaluate(lists({u: [0, 1] if u else [1, 0] for u in range(40)}), train=NOBODY, test=test)
    b = evaluate(lists({u: [1, 0] for u in range(40)}), train=NOBODY, test=test)
    difference = paired_difference(a, b, metric="mrr@20")
    assert difference.value == pytest.approx(39 / 40 * 0.5)
    assert 0 < difference.low <= difference.value <= difference.high <= 0.5
    assert paired_difference(a, a, metric="mrr@20").high == 0.0


def test_a_paired_difference_without_resamples_has_bounds_equal_to_its_mean():
    test = events((1, 0), (2, 0))
    a, b = (
        evaluate(lists({1: [item], 2: [9]}), train=NOBODY, test=test, k=1, resamples=0)
        for item in (0, 9)
    )
    assert paired_difference(a, b, metric="mrr@1") == Interval(0.5, 0.5, 0.5, 2)


def test_a_paired_difference_needs_the_same_users():
    a = evaluate(lists({1: [7]}), train=NOBODY, test=events((1, 7)))
    b = evaluate(lists({1: [7]}), train=NOBODY, test=events((1, 7), (2, 7)))
    with pytest.raises(InputError, match="same users: 1 against 2 in group 'all'"):
        paired_difference(a, b, metric="ndcg@20")
