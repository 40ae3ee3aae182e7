"""The ranker learns orders that no single feature gives."""

import numpy as np
import pytest
import torch

from recbench.errors import InputError
from recbench.training.listwise import RankedLists, fit_ranker, listwise_loss


def lists(seed, n=400):
    """Relevant is where both features have one sign: nothing linear finds it."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 12, 2)).astype(np.float32)
    held = np.arange(12) < rng.integers(6, 13, size=(n, 1))
    relevant = (features.prod(axis=-1) > 0.5) & held
    return RankedLists(features, held, relevant)


def test_the_loss_is_the_cross_entropy_of_the_relevant():
    # one list of scores 0, ln 2, and padding: shares 1/3 and 2/3
    scores = torch.tensor([[0.0, np.log(2.0), 9.0]])
    held = torch.tensor([[True, True, False]])
    relevant = torch.tensor([[False, True, False]])
    assert listwise_loss(scores, held, relevant).item() == pytest.approx(-np.log(2 / 3))
    both = torch.tensor([[True, True, False]])
    expected = -(np.log(1 / 3) + np.log(2 / 3)) / 2
    assert listwise_loss(scores, held, both).item() == pytest.approx(expected)


def test_an_order_that_is_not_linear_is_learned():
    ranker = fit_ranker([lists(0), lists(1)], epochs=20, learning_rate=1e-2)
    unseen = lists(2).useful()
    with torch.no_grad():
        scores = ranker(torch.from_numpy(unseen.features)).numpy()
    first = np.where(unseen.held, scores, -np.inf).argmax(axis=1)
    assert unseen.relevant[np.arange(len(first)), first].mean() > 0.9


def test_a_ranker_starts_at_its_prior():
    prior = np.array([0.0, 2.0], dtype=np.float32)
    started = fit_ranker([lists(0)], epochs=1, learning_rate=1e-9, prior=prior)
    unseen = lists(1).features
    with torch.no_grad():
        scores = started(torch.from_numpy(unseen)).numpy()
    assert np.corrcoef(scores.ravel(), 2.0 * unseen[..., 1].ravel())[0, 1] > 0.99
    assert scores.std() == pytest.approx(2.0 * unseen[..., 1].std(), rel=0.05)


def test_a_prior_that_is_wrong_is_unlearned():
    prior = np.array([0.5, 0.0], dtype=np.float32)
    ranker = fit_ranker([lists(0), lists(1)], epochs=20, learning_rate=1e-2, prior=prior)
    unseen = lists(2).useful()
    with torch.no_grad():
        scores = ranker(torch.from_numpy(unseen.features)).numpy()
    first = np.where(unseen.held, scores, -np.inf).argmax(axis=1)
    assert unseen.relevant[np.arange(len(first)), first].mean() > 0.9


def test_a_seed_gives_one_ranker_and_leaves_torchs_state_alone():
    before = torch.get_rng_state()
    one, other = (fit_ranker([lists(0)], epochs=1, seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    features = torch.from_numpy(lists(1).features)
    assert torch.equal(one(features), other(features))


def test_lists_without_anything_to_learn_are_refused():
    empty = lists(0, n=5)
    nothing = RankedLists(empty.features, empty.held, np.zeros_like(empty.held))
    with pytest.raises(InputError, match="None of 5 lists"):
        fit_ranker([nothing])
