"""What the scheduler's pod loads: how many workers the operator is told, and which it may take."""

from typing import Any

from recbench.cluster.adaptive import ScalingPlugin
from recbench.cluster.kubernetes.worker_groups import OnlyDefaultGroup
from recbench.cluster.load import Policy

__all__ = ["POLICY", "dask_setup"]

POLICY: Policy | None = None  # that answers the operator; None: Dask's own rule does


async def dask_setup(scheduler: Any) -> None:
    """What ``dask scheduler --preload`` calls."""
    for plugin in (ScalingPlugin(POLICY), OnlyDefaultGroup()):
        await plugin.start(scheduler)
        scheduler.add_plugin(plugin)
