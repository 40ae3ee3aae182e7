"""What the scheduler's pod loads: how many workers the operator is told, and which it may take."""

import os
from pathlib import Path
from typing import Any

from recbench.cluster.adaptive import ScalingPlugin
from recbench.cluster.kubernetes.dask import LIMITS_VARIABLE
from recbench.cluster.kubernetes.worker_groups import OnlyDefaultGroup
from recbench.cluster.load import Hours, Policy
from recbench.cluster.scaling import ScalingPolicy
from recbench.cluster.tariff import TARIFF_VARIABLE, TariffFile
from recbench.cluster.worker_times import KeepGone

__all__ = ["dask_setup"]


async def dask_setup(scheduler: Any) -> None:
    """What ``dask scheduler --preload`` calls."""
    scaling = ScalingPlugin(_policy(), hours=_hours())
    for plugin in (scaling, OnlyDefaultGroup(), KeepGone()):
        await plugin.start(scheduler)
        scheduler.add_plugin(plugin)


def _policy() -> Policy | None:
    limits = os.environ.get(LIMITS_VARIABLE)
    if limits is None:
        return None
    minimum, maximum = map(int, limits.split("-"))
    return ScalingPolicy(minimum=minimum, maximum=maximum).target


def _hours() -> Hours | None:
    path = os.environ.get(TARIFF_VARIABLE)
    return None if path is None else TariffFile(Path(path))
