"""What is found must be what an exact search finds; what is barred must never be."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.index import ApproximateIndex, ApproximateSettings, ExactIndex
from recbench.index.choose import recall_at_k

PACKED = ApproximateSettings(codes="pq4", oversample=50)
CELLS = ApproximateSettings(codes="pq4", n_lists=100, n_probes=30, oversample=50)
HALVES = ApproximateSettings(codes="fp16", n_lists=100, n_probes=30, oversample=4)
NONE = np.empty(0, dtype=np.int64)


@pytest.fixture(scope="module", params=[PACKED, CELLS, HALVES], ids=["packed", "cells", "halves"])
def index(request, catalogue):
    return ApproximateIndex.build(catalogue[0], request.param)


@pytest.fixture
def queries(catalogue):
    return catalogue[1]


@pytest.fixture
def exact(catalogue):
    return ExactIndex(catalogue[0])


def require_close(index, exact, queries, *, least=0.99, **filters):
    rows, scores = index.search(queries, k=20, **filters)
    best_rows, best = exact.search(queries, k=20, **filters)
    assert recall_at_k(scores, best).mean() >= least
    assert ((rows >= 0) == (best_rows >= 0)).all()  # no list is shorter than it must be
    return rows, scores


def test_it_finds_what_an_exact_search_finds(index, exact, queries):
    rows, scores = require_close(index, exact, queries)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == 20 for row in rows)


def test_scores_are_products_with_the_embeddings_themselves(index, catalogue):
    candidates, queries, _ = catalogue
    rows, scores = index.search(queries, k=20)
    expected = np.einsum("qd,qkd->qk", queries, candidates[rows])
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


def test_one_query_has_the_answer_it_has_among_many(index, queries):
    rows, _ = index.search(queries, k=20)
    alone = [index.search(queries[at : at + 1], k=20)[0][0] for at in range(len(queries))]
    # faiss may add up in another order for one query: what is proposed last can differ
    assert (rows == np.array(alone)).mean() > 0.999


def test_what_a_user_has_seen_is_not_shown_again(index, exact, queries):
    first, _ = exact.search(queries, k=300)
    seen = (np.repeat(np.arange(len(queries)), 300), first.reshape(-1))
    rows, _ = require_close(index, exact, queries, excluded=seen)
    assert not any(np.isin(rows[at], first[at]).any() for at in range(len(queries)))


def test_a_user_who_has_seen_the_best_hundreds_gets_the_next_ones(index, exact, queries):
    best, _ = exact.search(queries[:4], k=400)
    for n_seen in (30, 120, 400):
        at = np.repeat(np.arange(4), n_seen)
        excluded = (at, best[:, :n_seen].ravel())
        found, _ = index.search(queries[:4], k=10, excluded=excluded)
        expected, _ = exact.search(queries[:4], k=10, excluded=excluded)
        assert np.mean([np.isin(f, e).mean() for f, e in zip(found, expected, strict=True)]) > 0.97


def test_exclusions_need_not_be_in_order(index, queries):
    excluded = (np.array([3, 0, 3]), np.array([5, 6, 7]))
    reverse = tuple(part[::-1] for part in excluded)
    ours, _ = index.search(queries, k=20, excluded=excluded)
    np.testing.assert_array_equal(ours, index.search(queries, k=20, excluded=reverse)[0])


def test_a_history_of_nearly_everything_leaves_the_rest(index, exact, catalogue):
    candidates, queries, _ = catalogue
    seen = np.delete(np.arange(len(candidates)), [7, 11, 13])
    excluded = (np.zeros(len(seen), dtype=np.int64), seen)
    rows, scores = index.search(queries[:1], k=5, excluded=excluded)
    expected = exact.search(queries[:1], k=5, excluded=excluded)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_allclose(scores, expected[1], rtol=1e-5)


@pytest.mark.parametrize("share", [0.9, 0.7, 0.2])
def test_items_out_of_stock_are_not_shown(index, exact, queries, share):
    in_stock = np.random.default_rng(1).random(len(exact)) < share
    rows, _ = require_close(index, exact, queries, allowed=in_stock)
    assert in_stock[rows].all()


@pytest.mark.parametrize("n_categories", [1, 6, 32])
def test_a_category_is_found_though_it_lies_in_few_cells(index, exact, catalogue, n_categories):
    _, queries, category = catalogue
    require_close(index, exact, queries, allowed=category < n_categories)


def test_a_filter_that_leaves_too_few_gives_all_of_them(index, exact, queries):
    allowed = np.zeros(len(exact), dtype=np.bool_)
    allowed[[3, 1_000, 20_000]] = True
    rows, _ = index.search(queries, k=20, allowed=allowed)
    np.testing.assert_array_equal(rows, exact.search(queries, k=20, allowed=allowed)[0])
    assert (np.sort(rows[0])[-3:] == [3, 1_000, 20_000]).all()


def test_hidden_rows_are_never_shown(catalogue, exact, queries):
    hidden = np.unique(exact.search(queries, k=30)[0])
    built = ApproximateIndex.build(catalogue[0], PACKED, hidden=hidden)
    rows, _ = require_close(built, ExactIndex(catalogue[0], hidden), queries)
    assert not np.isin(rows, hidden).any()


def test_additions_and_deletions_equal_a_rebuilt_index(catalogue):
    candidates, queries, _ = catalogue
    rng = np.random.default_rng(2)
    base = ApproximateIndex.build(candidates[:22_000], CELLS)
    changed = rng.choice(22_000, 500, replace=False)
    gone = rng.choice(24_000, 3_000, replace=False)
    after = candidates.copy()
    after[changed] = candidates[rng.permutation(changed)]
    grown = base.with_candidates(np.arange(22_000, 24_000), candidates[22_000:])
    grown = grown.with_candidates(changed, after[changed]).without(gone)
    exact = ExactIndex(after, gone)
    rows, scores = require_close(grown, exact, queries)
    rebuilt = ApproximateIndex.build(after, CELLS, hidden=gone)
    best = exact.search(queries, k=20)[1]
    found = recall_at_k(rebuilt.search(queries, k=20)[1], best).mean()
    assert recall_at_k(scores, best).mean() >= found - 0.005
    assert not np.isin(rows, gone).any()
    assert len(grown) == 24_000
    assert len(base) == 22_000  # as it was: others may be searching it
    filters = {"allowed": rng.random(24_000) < 0.9}
    require_close(grown, exact, queries, **filters)


def test_a_new_item_is_found_at_once_and_a_hidden_one_can_come_back(catalogue, queries):
    candidates = catalogue[0]
    base = ApproximateIndex.build(candidates, PACKED)
    best = (queries[:1] * 100).astype(np.float32)
    grown = base.with_candidates(np.array([24_000]), best)
    assert grown.search(queries[:1], k=1)[0].tolist() == [[24_000]]
    gone = grown.without(np.array([24_000]))
    assert gone.search(queries[:1], k=1)[0][0, 0] != 24_000
    back = gone.with_candidates(np.array([24_000]), best)
    assert back.search(queries[:1], k=1)[0].tolist() == [[24_000]]
    assert (len(gone), gone.n_recent, back.n_recent) == (24_001, 0, 1)


def test_half_precision_embeddings_take_half_the_bytes(catalogue, exact, queries):
    candidates = catalogue[0]
    whole = ApproximateIndex.build(candidates, PACKED)
    half = ApproximateIndex.build(candidates.astype(np.float16), PACKED)
    assert whole.n_bytes - half.n_bytes == candidates.nbytes // 2
    rows, scores = half.search(queries, k=20)
    best = exact.search(queries, k=20)[1]
    kept = np.einsum("qd,qkd->qk", queries, candidates[rows])
    # 11 bits of mantissa: near the end of a list the order can differ
    assert recall_at_k(kept, best).mean() > 0.98
    np.testing.assert_allclose(scores, kept, rtol=2e-3, atol=2e-3)
    few = np.arange(24_000) % 2 == 0  # scored whole, without faiss
    assert (half.search(queries, k=20, allowed=few)[0] % 2 == 0).all()


def test_the_same_catalogue_gives_the_same_index(index, catalogue, queries):
    again = ApproximateIndex.build(catalogue[0], index.settings)
    np.testing.assert_array_equal(again.search(queries, k=20)[0], index.search(queries, k=20)[0])


def test_a_saved_index_is_read_back(index, catalogue, queries, tmp_path):
    index.save(tmp_path / "index.faiss")
    hidden = index.search(queries[:1], k=3)[0][0]
    read = ApproximateIndex.load(
        tmp_path / "index.faiss", catalogue[0], index.settings, hidden=hidden
    )
    np.testing.assert_array_equal(
        read.search(queries, k=20)[0], index.without(hidden).search(queries, k=20)[0]
    )


def test_a_file_of_another_catalogue_is_refused(index, catalogue, tmp_path):
    index.save(tmp_path / "index.faiss")
    with pytest.raises(InputError, match=r"of 24000 candidates in 16 dimensions, not of 100 in 16"):
        ApproximateIndex.load(tmp_path / "index.faiss", catalogue[0][:100], index.settings)


def test_a_file_that_is_no_index_is_refused(index, catalogue, tmp_path):
    (tmp_path / "index.faiss").write_bytes(b"not an index")
    with pytest.raises(InputError, match=r"index\.faiss is no index"):
        ApproximateIndex.load(tmp_path / "index.faiss", catalogue[0], index.settings)


def test_threads_search_one_index(index, queries):
    expected, _ = index.search(queries, k=20)
    found = {}

    def ask(name):
        found[name] = [index.search(queries, k=20)[0] for _ in range(5)]

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all((rows == expected).all() for answers in found.values() for rows in answers)


def test_no_queries_give_no_lists(index):
    rows, scores = index.search(np.empty((0, 16), dtype=np.float32), k=3)
    assert rows.shape == scores.shape == (0, 3)


def test_calls_that_make_no_sense_are_refused(index, queries):
    with pytest.raises(InputError, match=r"have \(3,\) dimensions, candidates \(16,\)"):
        index.search(queries[:, :3], k=1)
    with pytest.raises(InputError, match="`k` must be at least 1, got 0"):
        index.search(queries, k=0)
    with pytest.raises(InputError, match="1 queries are NaN"):
        index.search(np.full((1, 16), np.nan, dtype=np.float32), k=1)
    with pytest.raises(InputError, match=r"expected \(24000,\) bool, got \(5,\) bool"):
        index.search(queries, k=1, allowed=np.ones(5, dtype=np.bool_))
    with pytest.raises(InputError, match=r"lie in \[0, 24000\), got 24000 to 24000"):
        index.without(np.array([24_000]))
    with pytest.raises(InputError, match="expected 24000 to 24000, got up to 24001"):
        index.with_candidates(np.array([24_001]), queries[:1])
    with pytest.raises(InputError, match="2 dimensions, the index 16"):
        index.with_candidates(np.array([0]), queries[:1, :2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": "pq8"}, "'pq4' or 'fp16', got 'pq8'"),
        ({"oversample": 0}, "at least 1, got 0"),
        ({"n_lists": 4}, "or both 0, got 0 of 4"),
        ({"n_lists": 4, "n_probes": 5}, "or both 0, got 5 of 4"),
    ],
)
def test_settings_that_could_not_be_searched_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        replace(ApproximateSettings(), **changes)


def test_too_few_candidates_are_sent_to_an_exact_index(catalogue):
    with pytest.raises(InputError, match="8 candidates are too few for 16 .* an ExactIndex"):
        ApproximateIndex.build(catalogue[0][:8], PACKED)


def test_embeddings_that_are_not_finite_are_refused(catalogue):
    broken = catalogue[0].copy()
    broken[3, 0] = np.inf
    with pytest.raises(InputError, match="of 1 items are not finite"):
        ApproximateIndex.build(broken, PACKED)


@pytest.mark.parametrize("settings", [PACKED, CELLS, HALVES], ids=["packed", "cells", "halves"])
def test_what_is_released_holds_nothing_and_others_go_on(catalogue, queries, settings, tmp_path):
    old, new = (ApproximateIndex.build(catalogue[0], settings) for _ in range(2))
    old.save(tmp_path / "index.faiss")
    read = ApproximateIndex.load(tmp_path / "index.faiss", catalogue[0], settings)
    expected, _ = new.search(queries, k=20)
    for index in (old, read):
        index.release()
        held = index.proposals.faiss_index
        cells = range(settings.n_lists)
        left = sum(held.invlists.list_size(n) for n in cells) if settings.n_lists else held.ntotal
        assert left == 0
    np.testing.assert_array_equal(new.search(queries, k=20)[0], expected)


def test_the_bytes_are_those_of_embeddings_and_codes(catalogue):
    candidates = catalogue[0]
    packed = ApproximateIndex.build(candidates, PACKED)
    assert packed.n_bytes == candidates.nbytes + 24_000 * 4  # 16 dimensions, half a byte for two
    halves = ApproximateIndex.build(candidates, HALVES)
    assert halves.n_bytes == candidates.nbytes + 24_000 * (16 * 2 + 8) + 100 * 16 * 4
