"""Catalogues like a two-tower's: unit tastes, a prior, and a popularity of heavy tail."""

import numpy as np
import pytest

N_ITEMS, TASTE_DIM = 24_000, 14


def embeddings(rng, n, *, centres):
    near = centres[rng.integers(len(centres), size=n)]
    taste = near + rng.normal(0, 0.15, near.shape)
    return taste / np.linalg.norm(taste, axis=1, keepdims=True)


@pytest.fixture(scope="session")
def catalogue():
    """(candidates (24,000, 16), queries (64, 16), category of each candidate's taste)."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, TASTE_DIM))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    taste = embeddings(rng, N_ITEMS, centres=centres)
    popularity = rng.pareto(1.2, N_ITEMS)
    prior = np.log1p(popularity) / 5
    candidates = np.concatenate([taste, prior[:, None], popularity[:, None]], axis=1)
    wishes = embeddings(rng, 64, centres=centres) / 0.3
    queries = np.concatenate([wishes, np.ones((64, 1)), np.zeros((64, 1))], axis=1)
    queries[-4:] = np.eye(16)[-1]  # who has no history points at popularity alone
    category = (taste @ centres.T).argmax(axis=1)
    return candidates.astype(np.float32), queries.astype(np.float32), category
