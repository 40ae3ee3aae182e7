"""One attempt of some ranks: from their launch to a result, a pause, or the first failure."""

import pickle
import time
from collections.abc import Callable, Sequence, Set
from typing import Any

from distributed import Client, Future
from torch.distributed import Store  # type: ignore[attr-defined]  # it is there

from recbench.cluster.load import RANKS_PREFIX
from recbench.cluster.orders import RankEnd, RankOrders
from recbench.cluster.supervise import supervise
from recbench.cluster.warm import Workers

__all__ = ["Attempt", "RankFailure"]

LOOK_EVERY_S, BEATS_EVERY_S, WORKERS_EVERY_S = 0.01, 0.2, 1.0
BLAME_S = 1.0  # from the first failure until it must be clear whose it was
START_S = 60.0  # until a rank's first sign of life


class RankFailure(Exception):
    """Why an attempt ended without a result."""

    def __init__(self, said: str, worker: str = "", *, memory: bool = False) -> None:
        """``worker``: whose it was, where that is known; ``memory``: it had not enough of it."""
        super().__init__(said)
        self.said, self.worker, self.memory = said, worker, memory


class Attempt:
    """Ranks that stand or fall together."""

    def __init__(
        self,
        client: Client,
        store: Store,
        addresses: Sequence[str],
        orders: Callable[[int], RankOrders],
        *,
        stale_s: float,
    ) -> None:
        """Launch one rank a worker; ``store`` is the driver's, with the attempt's prefix."""
        self.client, self.store, self.addresses = client, store, list(addresses)
        self.stale_s = stale_s
        self.futures: list[Future[RankEnd]] = [
            client.submit(
                supervise,
                orders(number),
                key=f"{RANKS_PREFIX}{orders(number).attempt}-{number}",
                workers=[address],
                allow_other_workers=False,
                pure=False,
                retries=0,
                priority=100,
            )
            for number, address in enumerate(self.addresses)
        ]
        self._beats = [0] * len(self.futures)
        self._silent_s = [0.0] * len(self.futures)
        self._ends: dict[int, RankEnd] = {}  # each is fetched once
        self._n_told = 0

    def watch(
        self,
        on_told: Callable[[str, Any], None],
        *,
        known_workers: Callable[[], Workers],
        wanted: Callable[[Sequence[str]], int],
    ) -> Any:
        """What rank 0 returned.

        Args:
            on_told: gets what ranks tell, in order.
            known_workers: as the scheduler has them now.
            wanted: how many ranks there should be on usable ones; another number asks for a pause.

        Raises:
            RankFailure: some rank or its worker failed.
            Exception: one that a rank raised by itself.
        """
        looked_at = beats_at = workers_at = time.monotonic()
        while not all(future.status == "finished" for future in self.futures):
            time.sleep(LOOK_EVERY_S)
            now = time.monotonic()
            # a driver that was held up itself has not seen a rank fall silent
            passed, looked_at = min(now - looked_at, 2 * BEATS_EVERY_S), now
            self._silent_s = [silent + passed for silent in self._silent_s]
            self._listen(on_told)
            if any(self._has_failed(number) for number in range(len(self.futures))):
                break
            if now - beats_at > BEATS_EVERY_S:
                beats_at = now
                self._look_for_beats()
            if now - workers_at > WORKERS_EVERY_S:
                workers_at = now
                known = known_workers()
                self._look_for_workers(known.living)
                if wanted(known.usable) != len(self.futures):
                    self.store.set("pause", "")
        self._listen(on_told)
        return self._result(known_workers)

    def close(self) -> None:
        """Nobody works on: ranks end themselves, and those that cannot are killed."""
        self.store.set("stop", "")
        self.client.cancel(self.futures)  # type: ignore[no-untyped-call]  # Dask's

    def _listen(self, on_told: Callable[[str, Any], None]) -> None:
        n_told = self.store.add("told", 0)
        while self._n_told < n_told:
            key = f"told/{self._n_told + 1}"
            if not self.store.check([key]):  # counted and not there: on its way, or its rank died
                return
            self._n_told += 1
            on_told(*pickle.loads(self.store.get(key)))
            self.store.delete_key(key)

    def _has_failed(self, number: int) -> bool:
        future = self.futures[number]
        if future.status == "finished":
            return self._end(number).kind != "done"
        return bool(future.status != "pending")

    def _end(self, number: int) -> RankEnd:
        if number not in self._ends:
            self._ends[number] = self.futures[number].result()
        return self._ends[number]

    def _look_for_beats(self) -> None:
        for number, future in enumerate(self.futures):
            count = self.store.add(f"beat/{number}", 0)
            has_ended = future.status == "finished" or self.store.check([f"ended/{number}"])
            if count != self._beats[number] or has_ended:
                self._beats[number], self._silent_s[number] = count, 0.0
            limit = self.stale_s if count else START_S
            if self._silent_s[number] > limit:
                doing = "said nothing" if count else "did not start"
                raise RankFailure(
                    f"{self._name(number)} {doing} for {limit:g} s", self.addresses[number]
                )

    def _look_for_workers(self, living: Set[str]) -> None:
        for number, address in enumerate(self.addresses):
            if address not in living and self.futures[number].status != "finished":
                raise RankFailure(f"{self._name(number)} lost its worker", address)

    def _result(self, known_workers: Callable[[], Workers]) -> Any:
        """The result, or whose failure it was: the others fail because it is gone."""
        until = time.monotonic() + BLAME_S
        while True:
            ends = {
                number: self._end(number)
                for number, future in enumerate(self.futures)
                if future.status == "finished"
            }
            if len(ends) == len(self.futures) and all(end.kind == "done" for end in ends.values()):
                return pickle.loads(ends[0].result)
            for number, end in ends.items():
                self._raise_if_own(number, end)
            self._look_for_workers(known_workers().living)
            if time.monotonic() > until:
                raise RankFailure(self._of_all(ends))
            time.sleep(LOOK_EVERY_S)

    def _raise_if_own(self, number: int, end: RankEnd) -> None:
        if end.kind == "failed" and end.why == "error":
            error: BaseException = pickle.loads(end.error)
            error.add_note(f"{self._name(number)}:\n{end.trace}")
            raise error
        if end.kind in ("died", "memory") or end.why == "memory":
            of_memory = end.kind == "memory" or end.why == "memory"
            what = "ran out of memory" if of_memory else "died"
            said = f"{self._name(number)} {what}: {end.said}"
            raise RankFailure(said, self.addresses[number], memory=of_memory)

    def _of_all(self, ends: dict[int, RankEnd]) -> str:
        said = {f"{self._name(number)}: {end.said or end.kind}" for number, end in ends.items()}
        said |= {
            f"{self._name(number)}: watching it failed: {future.exception()!r}"  # type: ignore[no-untyped-call]  # Dask's
            for number, future in enumerate(self.futures)
            if future.status == "error"
        }
        statuses = {future.status for future in self.futures}
        return "; ".join(sorted(said)) or f"the connection to the scheduler was lost ({statuses})"

    def _name(self, number: int) -> str:
        return f"Rank {number} of {len(self.futures)} at {self.addresses[number]}"
