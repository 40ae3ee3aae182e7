"""The cluster panel: workers and tasks, how many workers there shall be, cost and energy so far."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import ipywidgets

from recbench.widgets.cluster import cost_table, workers_table
from recbench.widgets.live.panel import Panel
from recbench.widgets.shown import Part
from recbench.widgets.tables import Table

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["cluster_panel"]


def cluster_panel(
    client: "Client",
    *,
    most: int = 16,
    price_per_h: float = 0.0,
    joules: Callable[[], float] | None = None,
) -> Panel:
    """A slider holds the number of workers where it is put; the tables say how things stand.

    Only who opened the cluster can scale it: a client that joined by an address has no slider.
    Workers that have gone count since ``open_cluster`` opened it, or since the panel was made.

    Args:
        client: of ``open_cluster``.
        most: workers that the slider allows.
        price_per_h: of one worker, at first.
        joules: a meter, such as ``open_meter()``; None: the model.
    """
    from recbench.cluster.worker_times import gone_workers, keep_gone

    keep_gone(client)
    cluster: Any = client.cluster
    price = ipywidgets.FloatText(value=price_per_h, description="price/h", continuous_update=False)
    dials: dict[str, Any] = {"price_per_h": price}

    def show(price_per_h: float, n_workers: int = 0) -> Iterator[Part]:
        workers = workers_table(client)
        if n_workers and n_workers != len(workers):
            yield f"{len(workers)} workers are there, {n_workers} are asked for: look again."
        gone = gone_workers(client)
        yield Table(cost_table(workers, price_per_h=price_per_h, gone=gone, joules=joules))
        yield Table(workers)

    if cluster is not None:
        slider = ipywidgets.IntSlider(
            value=len(cluster.scheduler_info["workers"]),
            min=1,
            max=most,
            description="workers",
            continuous_update=False,
        )
        # before the panel listens to it, so that the panel shows what was asked for
        slider.observe(lambda change: _hold(cluster, change["new"]), names="value")
        dials["n_workers"] = slider
    again = ipywidgets.Button(description="Look again", icon="refresh")
    panel = Panel("cluster", dials, show, buttons=[again])
    again.on_click(lambda _button: panel.look_again())
    return panel


def _hold(cluster: Any, n_workers: int) -> None:
    """Neither a policy nor the load changes the number from now on."""
    cluster.adapt(minimum=n_workers, maximum=n_workers)
