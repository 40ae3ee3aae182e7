import json

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.index import (
    ApproximateIndex,
    ApproximateSettings,
    ExactIndex,
    choose_index,
    usual_settings,
)
from recbench.index.choose import recall_at_k


def test_a_small_catalogue_is_searched_exactly(catalogue):
    candidates, queries, _ = catalogue
    choice = choose_index(candidates[:500], queries)
    assert isinstance(choice.index, ExactIndex)
    assert choice.chosen.settings is None
    assert choice.chosen.recall == 1.0
    assert len(choice.tried) == 1


def test_the_chosen_index_has_the_recall_and_says_what_was_tried(catalogue):
    candidates, queries, _ = catalogue
    hidden = np.arange(50)
    choice = choose_index(candidates, queries, hidden=hidden, exact_below=1_000)
    best = ExactIndex(candidates, hidden).search(queries, k=20)[1]
    rows, scores = choice.index.search(queries, k=20)
    assert recall_at_k(scores, best).mean() >= 0.99
    assert not np.isin(rows, hidden).any()
    enough = [tried for tried in choice.tried if tried.recall >= 0.99]
    assert choice.chosen.p99_ms == min(tried.p99_ms for tried in enough)
    assert len(choice.tried) > 1
    again = json.loads(json.dumps(choice.chosen.to_json()))
    assert again["recall"] == choice.chosen.recall


def test_no_approximate_index_is_chosen_for_a_recall_that_none_has(catalogue, monkeypatch):
    candidates, queries, _ = catalogue
    monkeypatch.setattr("recbench.index.choose.OVERSAMPLES", (1,))
    monkeypatch.setattr("recbench.index.choose.SCANNED_UP_TO", 0)  # halves miss nothing
    choice = choose_index(candidates, queries, exact_below=1_000, least_recall=1.0)
    assert isinstance(choice.index, ExactIndex)
    assert choice.tried[1].recall < 1.0


def test_whether_the_latency_is_kept_is_said(catalogue):
    candidates, queries, _ = catalogue
    assert choose_index(candidates[:500], queries, p99_ms=1e9).in_time
    assert not choose_index(candidates[:500], queries, p99_ms=0.0).in_time


def test_the_settings_alone_build_the_chosen_index_again(catalogue):
    candidates, queries, _ = catalogue
    choice = choose_index(candidates, queries, exact_below=1_000)
    settings = choice.chosen.settings or ApproximateSettings()
    built = ApproximateIndex.build(candidates, settings)
    if isinstance(choice.index, ApproximateIndex):
        np.testing.assert_array_equal(
            built.search(queries, k=20)[0], choice.index.search(queries, k=20)[0]
        )


def test_without_queries_there_is_nothing_to_measure(catalogue):
    with pytest.raises(InputError, match="`queries` holds none"):
        choose_index(catalogue[0], catalogue[1][:0])


def test_recall_counts_an_equal_score_as_found():
    best = np.array([[3.0, 2.0, 1.0]], dtype=np.float32)
    assert recall_at_k(np.array([[3.0, 1.0, 0.5]], dtype=np.float32), best).tolist() == [2 / 3]
    assert recall_at_k(best, best).tolist() == [1.0]


def test_recall_of_lists_that_ran_out():
    best = np.array([[3.0, 2.0, -np.inf], [-np.inf] * 3], dtype=np.float32)
    found = np.array([[3.0, -np.inf, -np.inf], [-np.inf] * 3], dtype=np.float32)
    assert recall_at_k(found, best).tolist() == [0.5, 0.0]


def test_the_usual_settings_have_the_recall_without_having_measured_it(catalogue):
    candidates, queries, _ = catalogue
    assert usual_settings(20_000) is None
    assert usual_settings(1_000_000).n_lists == 1_000
    assert usual_settings(100_000).codes == "fp16"
    index = ApproximateIndex.build(candidates, usual_settings(len(candidates)))
    best = ExactIndex(candidates).search(queries, k=20)[1]
    assert recall_at_k(index.search(queries, k=20)[1], best).mean() >= 0.99


def test_cells_are_tried_where_there_are_many_candidates(catalogue, monkeypatch):
    candidates, queries, _ = catalogue
    monkeypatch.setattr("recbench.index.choose.CELLS_FROM", 1_000)
    choice = choose_index(candidates, queries, exact_below=1_000)
    kinds = {(tried.settings.codes, tried.settings.n_lists > 0) for tried in choice.tried[1:]}
    assert kinds == {("pq4", False), ("fp16", False), ("pq4", True), ("fp16", True)}
    assert choice.chosen.recall >= 0.99
