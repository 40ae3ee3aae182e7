import numpy as np
import polars as pl

from recbench.policy.logged_context import LoggedContexts, encoded_contexts


def test_contexts_are_read_as_they_were_written():
    features = np.array([[1.5, -2.25, 1e-7], [0, 3, 4]], dtype=np.float32)
    texts = encoded_contexts(features)
    shown = pl.DataFrame({"context": [texts[0], None, texts[1]]})
    read = LoggedContexts()(shown)
    assert read[[0, 2]].tolist() == features.tolist()
    assert np.isnan(read[1]).all()


def test_context_that_is_damaged_or_of_another_size_is_nan():
    good, other = encoded_contexts(np.ones((2, 3)))[0], encoded_contexts(np.ones((1, 5)))[0]
    contexts = LoggedContexts()
    read = contexts(pl.DataFrame({"context": [other, good, good, "no base64 !", good[:-4]]}))
    assert contexts.dim == 3  # what most of them have
    assert np.isnan(read[:, 0]).tolist() == [True, False, False, True, True]


def test_nothing_is_known_before_a_context_comes():
    contexts = LoggedContexts()
    assert contexts(pl.DataFrame({"item_id": [1, 2]})).shape == (2, 0)
    empty = pl.DataFrame({"context": [None]}, schema={"context": pl.String})
    assert contexts(empty).shape == (1, 0)
