"""A Dask-CUDA cluster: one worker for each GPU of this machine."""

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from recbench.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["POOL_FRAC", "cuda_cluster"]

# Of a GPU's memory for RMM's pool, which is the worker's alone and not given back. Dask-CUDA's own
# examples take .8 and more, where the worker does all the work; here it only holds feature frames,
# and ranks and kernels are processes beside it, with allocators of their own, on the same GPU.
POOL_FRAC = 0.3


@contextmanager
def cuda_cluster(*, worker_memory_bytes: int | None) -> Iterator["Client"]:
    """A client of one process for each GPU, with a pool of its memory, on the loopback interface.

    Workers speak UCX where ``distributed-ucxx`` is installed (GPUs then exchange arrays without
    the host), else TCP; ``client.scheduler.address`` says which.

    Raises:
        InputError: ``dask_cuda`` is not installed, or there is no GPU.
    """
    _require_gpu()
    from dask_cuda import LocalCUDACluster
    from distributed import Client

    memory = {} if worker_memory_bytes is None else {"memory_limit": worker_memory_bytes}
    with (
        tempfile.TemporaryDirectory(prefix="recbench-", ignore_cleanup_errors=True) as spilled,
        LocalCUDACluster(
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=spilled,
            rmm_pool_size=POOL_FRAC,
            **_transport(),
            **memory,
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]  # Dask's
    ):
        yield client


def _transport() -> dict[str, Any]:
    has_ucx = importlib.util.find_spec("distributed_ucxx") is not None
    return {"protocol": "ucx"} if has_ucx else {"protocol": "tcp"}


def _require_gpu() -> None:
    if importlib.util.find_spec("dask_cuda") is None:
        raise InputError(
            "A `cuda` cluster needs the package dask_cuda: install environments/gpu.txt"
        )
    import torch

    if not torch.cuda.is_available():
        raise InputError("A `cuda` cluster needs an NVIDIA GPU; torch finds none")
