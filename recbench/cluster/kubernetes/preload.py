"""What the scheduler's pod loads: how many workers the operator is told, and which it may take."""

from typing import Any

from recbench.cluster.adaptive import ScalingPlugin
from recbench.cluster.driven import ByDeadline
from recbench.cluster.kubernetes.worker_groups import OnlyDefaultGroup
from recbench.cluster.load import Policy
from recbench.cluster.scaling import ScalingPolicy

__all__ = ["POLICY", "dask_setup"]

# answers the operator, which holds to its own minimum and maximum; None: Dask's own rule does
POLICY: Policy | None = ByDeadline(ScalingPolicy(minimum=0))


async def dask_setup(scheduler: Any) -> None:
    """What ``dask scheduler --preload`` calls."""
    for plugin in (ScalingPlugin(POLICY), OnlyDefaultGroup()):
        await plugin.start(scheduler)
        scheduler.add_plugin(plugin)
