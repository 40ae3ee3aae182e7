"""What can be tested of the index on the GPU without one."""

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.index.cuvs import CuvsIndex, _filled_up, _words


def test_without_cuvs_it_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    with pytest.raises(InputError, match="needs cupy, which is not installed here"):
        CuvsIndex.build(np.ones((3, 2), dtype=np.float32))


def test_the_bits_of_queries_follow_each_other_without_a_gap():
    may = np.zeros((2, 17), dtype=np.bool_)
    may[0, 0] = may[1, 0] = may[1, 16] = True
    assert _words(may).tolist() == [1 | 1 << 17, 1 << (33 - 32)]


def test_rows_beyond_those_that_are_open_are_missing():
    rows, scores = np.array([[4, 2], [1, 7]]), np.array([[2.0, 1.0], [3.0, -9.0]])
    filled, values = _filled_up(rows, scores, k=3, n_open=np.array([5, 1]))
    assert filled.tolist() == [[4, 2, -1], [1, -1, -1]]
    assert values.tolist() == [[2, 1, -np.inf], [3, -np.inf, -np.inf]]
