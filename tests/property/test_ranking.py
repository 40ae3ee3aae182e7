"""What every ranking metric must hold, whatever the lists."""

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recbench.errors import InputError
from recbench.evaluation.ranking import evaluate

USERS, ITEMS, K = st.integers(0, 4), st.integers(0, 9), 3
pairs = st.lists(st.tuples(USERS, ITEMS), max_size=20)


@st.composite
def cases(draw):
    """Lists, train, test and whether repeats are allowed; somebody can be evaluated."""
    by_user = draw(st.dictionaries(USERS, st.lists(ITEMS, unique=True, min_size=1), max_size=5))
    rows = [(u, i, rank) for u, items in by_user.items() for rank, i in enumerate(items, start=1)]
    train, test, repeats = draw(pairs), draw(pairs), draw(st.booleans())
    assume(set(test) if repeats else set(test) - set(train))
    return rows, train, test, repeats


def judged(rows, train, test, repeats, *, item=lambda i: i, k=K):
    recs = [(u, item(i), rank) for u, i, rank in rows]
    schema = {"user_id": pl.Int64, "item_id": pl.Int64}
    frames = [
        pl.DataFrame([(u, item(i)) for u, i in part], schema=schema, orient="row")
        for part in (train, test)
    ]
    lists = pl.DataFrame(recs, schema=schema | {"rank": pl.Int32}, orient="row")
    return evaluate(lists, train=frames[0], test=frames[1], repeats=repeats, k=k, resamples=20)


@given(cases())
def test_metrics_and_their_bounds_lie_between_zero_and_one(case):
    result = judged(*case)
    for row in result.table().iter_rows(named=True):
        assert 0 <= row["low"] <= row["value"] + 1e-12
        assert row["value"] <= row["high"] + 1e-12 <= 1 + 2e-12
    assert 0 <= result.lists[f"coverage@{K}"] <= 1
    assert 0 <= result.lists.get(f"exposure_gini@{K}", 0) < 1
    assert result.lists.get(f"novelty@{K}", 0) >= 0


@given(cases(), st.permutations(range(10)))
def test_metrics_are_unmoved_by_relabelling_items(case, names):
    one, other = judged(*case), judged(*case, item=lambda i: 1_000 - 7 * names[i])
    assert one.by_user.equals(other.by_user)
    assert one.left_out == other.left_out
    assert one.lists == pytest.approx(other.lists)


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(case, random):
    rows, train, test, repeats = case
    shuffled = [random.sample(part, len(part)) for part in (rows, train, test)]
    assert judged(*case).by_user.equals(judged(*shuffled, repeats).by_user)


@given(cases())
def test_longer_lists_never_lower_recall_or_hit_rate(case):
    shorter, longer = judged(*case, k=2), judged(*case, k=5)
    for metric in ("recall", "hit_rate", "mrr"):
        gained = longer.values(f"{metric}@5") - shorter.values(f"{metric}@2")
        assert gained.min() >= 0


@given(cases())
def test_the_relevant_items_themselves_are_a_perfect_list(case):
    _, train, test, repeats = case
    wanted = sorted(set(test) if repeats else set(test) - set(train))
    rows, last = [], {}
    for user, item in wanted:
        last[user] = last.get(user, 0) + 1
        rows.append((user, item, last[user]))
    perfect = judged(rows, train, test, repeats)
    for metric in ("ndcg", "mrr", "hit_rate"):
        assert perfect.values(f"{metric}@{K}").to_list() == pytest.approx([1.0] * len(last))


@given(pairs.filter(bool))
def test_a_test_that_was_all_seen_has_nobody_to_evaluate(seen):
    with pytest.raises(InputError, match="not seen before"):
        judged([], seen, seen, False)
