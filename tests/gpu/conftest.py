"""Tests that need an NVIDIA GPU: skipped, saying why, where there is none."""

import importlib.util

import pytest


def pytest_runtest_setup(item):
    reason = _missing_gpu()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def gpu_engine():
    """The engine's name for `collect`, where RAPIDS is installed."""
    if importlib.util.find_spec("cudf_polars") is None:
        pytest.skip("cudf_polars is not installed: see environments/gpu.txt")
    return "gpu"


def _missing_gpu():
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA: see environments/gpu.txt"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    return None
