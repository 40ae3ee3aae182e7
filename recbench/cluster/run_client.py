"""A Dask client whose tasks are charged to the run that sends them."""

import os
from typing import Any

import dask
from distributed import Client

from recbench.cluster.charges import CHARGES_VARIABLE, MARK

__all__ = ["RunClient"]


class RunClient(Client):
    """Marks what it sends with the run's folder of charges; outside of a run, a plain client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As ``Client``; has the workers keep accounts."""
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # Dask's
        self.charges = os.environ.get(CHARGES_VARIABLE)
        if self.charges:
            from recbench.cluster.charging import ChargingWorkers

            self.register_plugin(ChargingWorkers())

    def _graph_to_futures(self, *args: Any, **kwargs: Any) -> Any:
        """The one way by which everything is sent."""
        send: Any = super()._graph_to_futures  # Dask gives it no types
        if not self.charges:
            return send(*args, **kwargs)
        with dask.annotate(**{MARK: self.charges}):  # type: ignore[attr-defined]  # it is there
            return send(*args, **kwargs)
