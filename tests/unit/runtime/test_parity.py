import numpy as np
import pytest

from recbench.errors import InputError
from recbench.index import ExactIndex
from recbench.runtime.parity import parity
from recbench.runtime.protocol import check_inputs
from recbench.runtime.torch import TorchQueryTower

CANDIDATES = ExactIndex(np.array([[1, 0], [0.9, 0], [0, 1]], dtype=np.float32))


def answering(*embeddings):
    table = np.array(embeddings, dtype=np.float32)
    return lambda rows, age_s, watched, window: table[rows[:, 0]]


def requests(n):
    rows = np.arange(n)[:, None]
    zeros = np.zeros((n, 1), np.float32)
    return rows, zeros, zeros, zeros


def test_differences_and_overlaps_are_those_of_the_worst_and_the_mean():
    reference = answering([1, 0], [1, 0])
    other = answering([1, 0], [0, 0.5])  # the second lists 2 and then 0, after 0 and 1
    measured = parity(reference, other, requests(2), CANDIDATES, k=2)
    assert measured.largest_difference == 1.0
    assert (measured.overlap, measured.worst_overlap) == (0.75, 0.5)
    assert measured.to_json("fp16_") == {
        "fp16_largest_difference": 1.0,
        "fp16_overlap": 0.75,
        "fp16_worst_overlap": 0.5,
        "fp16_k": 2,
        "fp16_n_listed": 2,
        "fp16_n_queries": 2,
    }


def test_lists_longer_than_the_catalogue_are_compared_by_what_they_hold():
    tower = answering([1, 0])
    assert parity(tower, tower, requests(1), CANDIDATES, k=9).worst_overlap == 1.0


def test_values_of_all_requests_and_lists_of_some_are_compared():
    many = answering(*[[1, 0]] * 600)
    last = answering(*[[1, 0]] * 599, [1, 0.5])
    measured = parity(many, last, requests(600), CANDIDATES, k=3, n_listed=50)
    assert (measured.n_queries, measured.n_listed) == (600, 50)
    assert measured.largest_difference == 0.5


def test_no_requests_are_no_parity():
    tower = answering([1, 0])
    with pytest.raises(InputError, match="`requests` holds none"):
        parity(tower, tower, requests(0), CANDIDATES)


def test_torch_is_the_reference(tiny_fit, asked):
    tower = TorchQueryTower(tiny_fit.model.query_tower)
    inputs = tiny_fit.model.inputs(asked)
    np.testing.assert_array_equal(tower(*inputs), tiny_fit.model.query_embeddings(asked))
    with pytest.raises(InputError, match=r"lie in \[-1, 40\), got 40 to 40"):
        tower(np.full((1, 1), 40), *requests(1)[1:])


def test_inputs_are_checked_in_one_place():
    check_inputs(requests(2), n_items=2)
    with pytest.raises(InputError, match=r"lie in \[-1, 1\), got 0 to 1"):
        check_inputs(requests(2), n_items=1)
