"""A worker for each GPU, with a pool of its memory."""

import pytest

from recbench.cluster.open import open_cluster

pytestmark = pytest.mark.gpu


@pytest.fixture
def client():
    """A client of a Dask-CUDA cluster."""
    pytest.importorskip("dask_cuda", reason="dask_cuda is not installed: see environments/gpu.txt")
    with open_cluster("cuda") as opened:
        yield opened


def test_there_is_one_worker_a_gpu_and_each_sees_its_own_first(client):
    import torch

    def device():
        import os

        return os.environ["CUDA_VISIBLE_DEVICES"].split(",")[0]

    seen = client.run(device)
    assert len(seen) == torch.cuda.device_count()
    assert len(set(seen.values())) == len(seen)


def test_a_worker_computes_on_its_gpu_within_its_pool(client):
    def total():
        import cupy
        import rmm

        return float(cupy.arange(5.0).sum()), type(rmm.mr.get_current_device_resource()).__name__

    assert client.submit(total).result() == (10.0, "PoolMemoryResource")
