"""Faults to try a gate with: of any strength, the same each time, and never in the original."""

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.refresh.faults import FAULTS, Fault

N = 30


def fault(kind, strength, seed=3):
    rng = np.random.default_rng(1)
    earlier = rng.standard_normal((N - 5, 10)).astype(np.float32)
    return Fault(kind=kind, strength=strength, n_items=N, seed=seed, earlier=earlier)


def changed(kind, strength, model):
    """Old and new embeddings, and the rows that differ."""
    old = model.candidate_embeddings
    new = fault(kind, strength).spoiled(model).candidate_embeddings
    return old, new, np.flatnonzero((old != new).any(axis=1))


@pytest.mark.parametrize("kind", FAULTS)
def test_one_seed_gives_one_fault_and_the_original_stays(tiny_fit, kind):
    before = tiny_fit.model.candidate_embeddings.copy()
    once, again = (changed(kind, 0.5, tiny_fit.model)[1] for _ in range(2))
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(tiny_fit.model.candidate_embeddings, before)
    assert (once != before).any()


@pytest.mark.parametrize("kind", FAULTS)
def test_without_strength_there_is_none(tiny_fit, kind):
    _, _, rows = changed(kind, 0.0, tiny_fit.model)
    assert len(rows) == 0


def test_noise_is_as_large_as_its_strength_and_spares_later_items(tiny_fit):
    old, new, rows = changed("noise on embeddings", 0.5, tiny_fit.model)
    assert rows.max() < N
    moved = (new - old)[:N] / old[:N].std(axis=0)
    # 300 normal values: the standard error of their deviation is 0.5 / sqrt(600)
    assert moved.std() == pytest.approx(0.5, abs=4 * 0.5 / 600**0.5)


def test_shuffling_permutes_a_share_of_the_rows(tiny_fit):
    old, new, rows = changed("shuffled vocabulary", 0.4, tiny_fit.model)
    assert len(rows) == 12  # 0.4 * 30
    np.testing.assert_array_equal(np.sort(old[rows], axis=0), np.sort(new[rows], axis=0))


def test_a_dropped_feature_is_popularity_without_weight(tiny_fit):
    old, new, _ = changed("dropped feature", 1.0, tiny_fit.model)
    assert not new[:, -2:].any()
    np.testing.assert_array_equal(new[:, :-2], old[:, :-2])


def test_a_stale_index_has_rows_of_before(tiny_fit):
    _, new, rows = changed("stale index", 0.4, tiny_fit.model)
    assert len(rows) == 10  # 0.4 * the 25 that there were
    np.testing.assert_array_equal(new[rows], fault("stale index", 0.4).earlier[rows])


def test_what_is_no_fault_is_refused():
    with pytest.raises(InputError, match="got 'gremlins'"):
        fault("gremlins", 1.0)
    with pytest.raises(InputError, match="got -1"):
        fault("dropped feature", -1)
