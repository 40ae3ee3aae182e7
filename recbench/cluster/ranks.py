"""Ranks on a Dask cluster: launched, watched, started again on who is left, more when there are.

The driver hosts the store through which ranks find each other and say that they live; so there is
no race for a port, and it outlives every rank. The first rank that fails, dies or falls silent ends
the attempt; the next one starts on the workers that are there, from the last checkpoint.
"""

import math
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recbench.errors import InputError, JobError
from recbench.files import whole_file

if TYPE_CHECKING:
    from distributed import Client
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is there

    from recbench.cluster.attempt import RankFailure
    from recbench.cluster.warm import Workers

__all__ = ["RankCluster", "ranks_on"]

BACKENDS = {"cpu": "gloo", "gpu": "cpu:gloo,cuda:nccl"}
ASK_AGAIN_S = 0.05
WARM_AGAIN_S = 1.0  # a scheduler that came back must be told again to warm its workers
Told = Callable[[str, Any], None]


def ranks_on(client: "Client", *, minimum: int = 1, maximum: int | None = None) -> "RankCluster":
    """What ``fit(..., cluster=...)`` takes, of any Dask client: one rank a worker.

    Args:
        client: of a cluster whose workers can import recbench, and share folders with this process.
        minimum: ranks to start with, and to go on with after a failure.
        maximum: ranks it grows to, at checkpoints, as workers come; default: as many as there are.

    Raises:
        InputError: numbers that contradict each other.
    """
    if minimum < 1 or (maximum is not None and maximum < minimum):
        raise InputError(f"`minimum` must be from 1 to `maximum`, got {minimum} and {maximum}")
    return RankCluster(client, minimum=minimum, maximum=maximum)


@dataclass(kw_only=True)
class RankCluster:
    """`training.distributed.Cluster` on Dask.

    ``maximum`` may be set while ranks work: at the next checkpoint they become fewer or more.
    """

    client: "Client" = field(kw_only=False)
    minimum: int = 1
    maximum: int | None = None
    stale_s: float = 2.0  # a rank that says nothing for so long is given up
    wait_s: float = 300.0  # for `minimum` warm workers, or for the scheduler to come back
    max_failures: int = 5  # in a row without a new checkpoint
    collective_timeout_s: float = 900.0  # all live but wait for each other, or for a measure
    left_out: set[str] = field(default_factory=set)  # workers without enough memory

    def run_ranks(
        self,
        work: Callable[[Any], Any],
        *,
        folder: Path,
        accelerator: Literal["cpu", "gpu"],
        on_told: Told,
    ) -> Any:
        """What ``work`` returned on rank 0 at last; see `training.distributed.Cluster`.

        Raises:
            JobError: it failed too often without a new checkpoint, or workers are missing.
            Exception: one that a rank raised by itself: started again it would come again.
        """
        import cloudpickle  # comes with Dask, which is not everywhere

        from recbench.cluster.attempt import RankFailure
        from recbench.training.distributed import Paused

        with whole_file(folder / "work.pickle") as draft:
            draft.write_bytes(cloudpickle.dumps(work))
        store = _store(self.client)
        failures: list[str] = []

        def listen(name: str, value: Any) -> None:
            if name == "saved":
                failures.clear()
            on_told(name, value)

        while True:
            addresses = self._workers()
            try:
                result = self._attempt(store, addresses, folder, accelerator, listen)
            except RankFailure as failure:
                failures.append(failure.said)
                self._take_note(failure, addresses, failures, on_told)
            else:
                if not isinstance(result, Paused):
                    return result

    def _attempt(
        self,
        store: "TCPStore",
        addresses: Sequence[str],
        folder: Path,
        accelerator: Literal["cpu", "gpu"],
        on_told: Told,
    ) -> Any:
        from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # it is there

        from recbench.cluster.attempt import Attempt
        from recbench.cluster.orders import RankOrders

        name = uuid.uuid4().hex[:12]

        def orders(number: int) -> RankOrders:
            return RankOrders(
                number=number,
                n_ranks=len(addresses),
                host=store.host,
                port=store.port,
                attempt=name,
                work=str(folder / "work.pickle"),
                backend=BACKENDS[accelerator],
                collective_timeout_s=self.collective_timeout_s,
            )

        attempt = Attempt(
            self.client, PrefixStore(name, store), addresses, orders, stale_s=self.stale_s
        )
        try:
            return attempt.watch(on_told, known_workers=self._known, wanted=self._n_wanted)
        finally:
            attempt.close()

    def _known(self) -> "Workers":
        """Workers now; none where the scheduler does not answer."""
        from recbench.cluster.warm import Workers, warm_workers

        try:
            found = warm_workers(self.client)
        except (OSError, TimeoutError):
            return Workers([], set())
        fit = [address for address in found.usable if address not in self.left_out]
        return found._replace(usable=fit) if len(fit) >= self.minimum else found

    def _warm_up(self) -> None:
        """Have every worker warm, also those that join later."""
        from recbench.cluster.warm import WarmWorkers

        with suppress(OSError, TimeoutError):  # the scheduler does not answer
            self.client.register_plugin(WarmWorkers())

    def _n_wanted(self, known: Sequence[str]) -> int:
        """Never fewer than the minimum: ranks who work do not stop to wait for a notebook's end."""
        n_most = len(known) if self.maximum is None else min(self.maximum, len(known))
        return max(self.minimum, n_most)

    def _workers(self) -> list[str]:
        """Who works next: waits for the minimum, and for nobody beyond it."""
        until = time.monotonic() + self.wait_s
        warmed_at = -math.inf
        while len(known := self._known().usable) < self.minimum:
            if time.monotonic() > warmed_at + WARM_AGAIN_S:
                self._warm_up()
                warmed_at = time.monotonic()
            if time.monotonic() > until:
                raise JobError(
                    f"{self.minimum} ranks need as many workers; after {self.wait_s:g} s there are "
                    f"{len(known)} (cluster: {self.client.status}). What was trained is in the "
                    "last checkpoint: the same call goes on from there"
                )
            time.sleep(ASK_AGAIN_S)
        return known[: self._n_wanted(known)]

    def _take_note(
        self,
        failure: "RankFailure",
        addresses: Sequence[str],
        failures: Sequence[str],
        on_told: Told,
    ) -> None:
        if failure.memory:
            self.left_out.add(failure.worker)
        if len(failures) >= self.max_failures:
            raise JobError(
                f"{len(failures)} failures in a row without a new checkpoint; the last: "
                f"{failure.said}. What was trained is in the last checkpoint"
            )
        on_told("note", f"{failure.said}; training goes on from the last checkpoint")


def _store(client: "Client") -> "TCPStore":
    """Where ranks meet, in this process, at the address that workers reach it by."""
    from distributed.utils import get_ip
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is there

    link: Any = client.scheduler
    scheme, _, place = link.address.partition("://")
    host = "127.0.0.1" if scheme == "inproc" else get_ip(place.rpartition(":")[0])  # type: ignore[no-untyped-call]  # Dask's
    timeout = timedelta(seconds=30)
    return TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=timeout)
