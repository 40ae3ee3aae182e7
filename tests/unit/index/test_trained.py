"""What an index learned gives the same index again, over the same rows or over others."""

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.index import ApproximateIndex, ApproximateSettings, ExactIndex, Trained, kept_index
from recbench.index.choose import recall_at_k

KINDS = [
    ApproximateSettings(codes="pq4"),
    ApproximateSettings(codes="pq4", n_lists=60, n_probes=8),
    ApproximateSettings(codes="fp16", n_lists=60, n_probes=8, oversample=3),
]


@pytest.fixture(params=KINDS, ids=["packed", "cells of packed", "cells of halves"])
def settings(request):
    return request.param


@pytest.fixture
def built(catalogue, settings):
    return ApproximateIndex.build(catalogue[0], settings)


def test_what_was_learned_is_not_learned_again(catalogue, settings, built, monkeypatch):
    monkeypatch.setattr("recbench.index.quantised._cells", None)  # k-means
    arrays = built.trained.to_arrays()
    again = ApproximateIndex.build(catalogue[0], settings, trained=Trained.from_arrays(arrays))
    for ours, theirs in zip(
        again.search(catalogue[1], k=20), built.search(catalogue[1], k=20), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_it_is_small_beside_the_catalogue(catalogue, built):
    size = sum(array.nbytes for array in built.trained.to_arrays().values())
    assert size < catalogue[0].nbytes / 8  # four bytes a row for its cell, of 16 dimensions' 64


def test_a_catalogue_that_moved_and_grew_is_found_with_what_was_learned_before(
    catalogue, settings, built
):
    candidates, queries, _ = catalogue
    rng = np.random.default_rng(1)
    moved = np.concatenate([candidates, candidates[:500]])
    moved[:, :-2] += rng.normal(0, 0.02, moved[:, :-2].shape).astype(np.float32)
    choice = kept_index(
        moved,
        queries,
        settings=settings,
        trained=built.trained,
        chosen_for=len(candidates),
        least_recall=0.9,
        exact_below=1_000,
    )
    assert choice is not None
    best = ExactIndex(moved, np.empty(0, np.int64)).search(queries, k=20)[1]
    rows, scores = choice.index.search(queries, k=20)
    assert choice.chosen.recall >= 0.9
    assert recall_at_k(scores, best).mean() == pytest.approx(choice.chosen.recall)
    assert rows.max() >= len(candidates)  # what came is found, too


@pytest.mark.parametrize(
    ("settings", "change", "why"),
    [
        (KINDS[0], {"codebooks": np.zeros((3, 2), np.float32)}, r"`codebooks` must be \(128, 2\)"),
        (KINDS[2], {"centroids": np.zeros((9, 16), np.float32)}, r"`centroids` must be \(60, 16\)"),
        (KINDS[2], {"scale": np.full((1, 16), np.nan, np.float32)}, r"`scale` must be .* finite"),
        (KINDS[2], {"cells": np.full(24_000, 60)}, r"in \[0, 60\), got \(24000,\) in \[60, 60\]"),
        (KINDS[2], {"cells": np.zeros(7, np.int64)}, r"`cells` must be \(24000,\)"),
    ],
)
def test_parts_of_another_index_are_refused(catalogue, settings, change, why):
    arrays = ApproximateIndex.build(catalogue[0], settings).trained.to_arrays()
    with pytest.raises(InputError, match=why):
        ApproximateIndex.build(catalogue[0], settings, trained=Trained.from_arrays(arrays | change))


def kept(catalogue, settings, *, chosen_for=24_000, exact_below=1_000, **more):
    trained = Trained()
    if settings is not None:
        trained = ApproximateIndex.build(catalogue[0], settings).trained
    return kept_index(
        catalogue[0],
        catalogue[1],
        settings=settings,
        trained=trained,
        chosen_for=chosen_for,
        exact_below=exact_below,
        **more,
    )


def test_a_choice_is_not_kept_below_the_recall(catalogue):
    assert kept(catalogue, KINDS[2], least_recall=0.1) is not None
    poor = ApproximateSettings(codes="fp16", n_lists=60, n_probes=1, oversample=1)
    assert kept(catalogue, poor, least_recall=0.999) is None


def test_a_catalogue_that_has_doubled_is_chosen_for_anew(catalogue):
    assert kept(catalogue, KINDS[2], least_recall=0.1, chosen_for=12_000) is not None
    assert kept(catalogue, KINDS[2], least_recall=0.1, chosen_for=11_999) is None


def test_exact_is_kept_while_small_or_where_nothing_else_had_the_recall(catalogue):
    small = kept(catalogue, None, chosen_for=500, exact_below=30_000)
    assert isinstance(small.index, ExactIndex)
    assert isinstance(kept(catalogue, None, chosen_for=24_000).index, ExactIndex)
    assert kept(catalogue, None, chosen_for=900) is None  # it was small then
