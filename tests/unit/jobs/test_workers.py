"""Which workers a name stands for."""

import pytest

from recbench.errors import InputError
from recbench.jobs.workers import workers


def test_no_name_is_no_cluster():
    with workers("", n_workers=2) as client:
        assert client is None


def test_a_local_cluster_and_its_address_compute_the_same():
    with workers("local", n_workers=1) as client:
        assert client.submit(sum, [1, 2]).result() == 3
        address = client.scheduler.address
        assert address.startswith("tcp://127.0.0.1:")
        with workers(address, n_workers=9) as same:
            assert same.submit(sum, [3, 4]).result() == 7


def test_two_local_clusters_live_beside_each_other():
    with workers("local", n_workers=1) as one, workers("local", n_workers=1) as other:
        assert one.scheduler.address != other.scheduler.address
        assert one.submit(sum, [1]).result() + other.submit(sum, [2]).result() == 3


def test_another_word_is_refused():
    with pytest.raises(InputError, match="got 'kubernetes'"), workers("kubernetes", n_workers=1):
        pass
