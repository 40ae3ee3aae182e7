"""Which workers a name stands for."""

import pytest

from recbench.cluster.current import CLUSTER_VARIABLE
from recbench.errors import InputError
from recbench.jobs.workers import workers


@pytest.fixture(autouse=True)
def no_job(monkeypatch):
    """Nobody runs these tests on a cluster."""
    monkeypatch.delenv(CLUSTER_VARIABLE, raising=False)


def test_no_name_is_no_cluster():
    with workers("", n_workers=2) as client:
        assert client is None


def test_a_local_cluster_its_address_and_a_jobs_own_compute_the_same(monkeypatch):
    with workers("local", n_workers=1) as client:
        assert client.submit(sum, [1, 2]).result() == 3
        assert len(client.scheduler_info()["workers"]) == 1
        address = client.scheduler.address
        assert address.startswith("tcp://127.0.0.1:")
        with workers(address, n_workers=9) as same:
            assert same.submit(sum, [3, 4]).result() == 7
        monkeypatch.setenv(CLUSTER_VARIABLE, address)
        with workers("", n_workers=9) as of_job:
            assert of_job.submit(sum, [5, 6]).result() == 11
        of_job.close()


def test_two_local_clusters_live_beside_each_other():
    with workers("local", n_workers=1) as one, workers("local", n_workers=1) as other:
        assert one.scheduler.address != other.scheduler.address
        assert one.submit(sum, [1]).result() + other.submit(sum, [2]).result() == 3


def test_another_word_is_refused():
    with pytest.raises(InputError, match="no cluster 'clowd'"), workers("clowd", n_workers=1):
        pass
