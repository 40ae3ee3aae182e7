"""The device answers before anything else is asked of it."""

import pytest

pytestmark = pytest.mark.gpu


def test_device_multiplies_as_the_cpu_does():
    import torch

    matrix = torch.arange(12, dtype=torch.float64).reshape(3, 4)
    torch.testing.assert_close((matrix.cuda() @ matrix.T.cuda()).cpu(), matrix @ matrix.T)


def test_polars_collects_on_the_gpu(gpu_engine):
    import polars as pl

    frame = pl.LazyFrame({"user_id": [1, 1, 2], "watch_ms": [10, 20, 30]})
    sums = frame.group_by("user_id").agg(pl.col("watch_ms").sum()).sort("user_id")
    on_gpu = sums.collect(engine=pl.GPUEngine(raise_on_fail=True))
    assert on_gpu.equals(sums.collect())
