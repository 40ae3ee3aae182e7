"""Workers' keepers that wait until a worker they killed has gone."""

import asyncio

from distributed import Nanny

__all__ = ["PatientNanny"]

GONE_S = 60.0


class PatientNanny(Nanny):
    """Dask's, but for a killed worker that the system needs more than a second to clear away.

    That is one with much memory, or any on a busy machine; leaving a ``LocalCluster`` raised
    ``TimeoutError`` then, after the work had been done.
    """

    async def kill(self, timeout: float = 5, reason: str = "nanny-kill") -> None:
        """As Dask's; raises TimeoutError if the worker is still there a minute after its end."""
        try:
            await super().kill(timeout=timeout, reason=reason)
        except TimeoutError:
            # asked again, it waits for the end
            await asyncio.wait_for(super().kill(timeout=timeout, reason=reason), GONE_S)
