"""A release is searched with what it chose; without a choice, with what its size mostly needs."""

from dataclasses import replace

import numpy as np
import pytest

from recbench.index import ApproximateIndex, ExactIndex
from recbench.serving import served_index as module
from recbench.serving.served_index import served_index

NOTHING = np.empty(0, dtype=np.int64)


@pytest.fixture
def release(seal_toy):
    return seal_toy().release


@pytest.fixture
def large():
    return np.random.default_rng(0).normal(size=(20_001, 8)).astype(np.float32)


def test_without_a_choice_the_size_decides(release, large):
    assert isinstance(served_index(release, large[:-1], hidden=NOTHING), ExactIndex)
    index = served_index(release, large, hidden=np.array([3]))
    assert isinstance(index, ApproximateIndex)
    assert index.settings.codes == "fp16"
    assert index.search(large[3:4], k=20)[0].min() >= 0
    assert 3 not in index.search(large[3:4], k=20)[0]


def test_the_choice_of_the_release_is_taken(release, large, monkeypatch):
    monkeypatch.setattr(module, "usual_settings", None)
    told = replace(release, manifest=replace(release.manifest, index={"settings": None}))
    index = served_index(told, large, hidden=np.array([3]))
    assert isinstance(index, ExactIndex)
    assert 3 not in index.search(large[3:4], k=20)[0]
