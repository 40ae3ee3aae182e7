"""One rank: a process that joins the others, works, and says at any time that it is alive."""

import os
import pickle
import socket
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from torch import distributed
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # they are there

from recbench.cluster import frames
from recbench.cluster.orders import RankEnd, RankOrders
from recbench.errors import InputError

__all__ = ["StoreRank", "run_rank"]

BEAT_EVERY_S = 0.1
STOPPED, DRIVER_GONE = 17, 18  # exit statuses
OF_OTHERS = ("gloo", "NCCL", "ProcessGroup", "Connection closed by peer", "recvValue failed")
OF_MEMORY = ("can't allocate memory", "out of memory")


class StoreRank:
    """`training.distributed.Rank` over the driver's store."""

    def __init__(self, orders: RankOrders, store: Store) -> None:
        """``store`` is that of the attempt."""
        self.number, self.n_ranks = orders.number, orders.n_ranks
        self._store = store

    def tell(self, name: str, value: Any) -> None:
        """Numbered, so that the driver reads in order."""
        body = pickle.dumps((name, value))
        self._store.set(f"told/{self._store.add('told', 1)}", body)  # type: ignore[arg-type]  # bytes will do

    def asked_to_pause(self) -> bool:
        """Whether the driver has set the key."""
        return bool(self._store.check(["pause"]))


def run_rank(orders: RankOrders, link: socket.socket) -> int:
    """Work, send the `RankEnd`, and return the process's exit status."""
    torch.set_num_threads(orders.n_threads)
    threading.Thread(target=_beat, args=[orders], daemon=True).start()
    try:
        result = _work(orders)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the driver must know
        frames.send(link, ("end", _failed(error)))
        return 1
    frames.send(link, ("end", RankEnd(kind="done", result=pickle.dumps(result))))
    return 0


def _work(orders: RankOrders) -> Any:
    if "nccl" in orders.backend:
        torch.cuda.set_device(0)  # the worker sees one device
    store = _store(orders)
    distributed.init_process_group(
        orders.backend,
        store=PrefixStore("group", store),
        rank=orders.number,
        world_size=orders.n_ranks,
        timeout=timedelta(seconds=orders.collective_timeout_s),
    )
    try:
        _await_all(orders, store)
        work = _read_work(Path(orders.work))
        result = work(StoreRank(orders, store))
        distributed.destroy_process_group()
        return result
    finally:
        with suppress(Exception):  # the driver has gone
            store.set(f"ended/{orders.number}", "")  # from now on its silence means nothing


def _await_all(orders: RankOrders, store: Store) -> None:
    """Until all ranks have joined: to one that still does, another that has done its work is dead.

    Work that ends in no collective is done at once; whoever did not come is the driver's to notice.
    """
    store.set(f"joined/{orders.number}", "")
    joined = [f"joined/{number}" for number in range(orders.n_ranks)]
    store.wait(joined, timedelta(seconds=orders.collective_timeout_s))


def _read_work(path: Path) -> Callable[[StoreRank], Any]:
    if not path.exists():
        raise InputError(
            f"`{path}` is not there where a rank runs; give `checkpoint`, a folder that the driver "
            "and all workers share"
        )
    with path.open("rb") as file:
        work: Callable[[StoreRank], Any] = pickle.load(file)
    return work


def _store(orders: RankOrders) -> Store:
    store = TCPStore(orders.host, orders.port, is_master=False, timeout=timedelta(seconds=30))
    return PrefixStore(orders.attempt, store)


def _beat(orders: RankOrders) -> None:
    """A thread of its own and a connection of its own: steps and collectives may take their time.

    A count by step would blame the wrong rank, since all wait for the slowest.
    """
    try:
        store = _store(orders)
        while not store.check(["stop"]):
            store.add(f"beat/{orders.number}", 1)
            time.sleep(BEAT_EVERY_S)
    except Exception:  # noqa: BLE001  # the store is the driver's: without it nobody wants the result
        os._exit(DRIVER_GONE)
    os._exit(STOPPED)


def _failed(error: BaseException) -> RankEnd:
    said = f"{type(error).__name__}: {error}"
    why: Literal["error", "others", "memory"] = "error"
    if isinstance(error, MemoryError) or any(sign in said for sign in OF_MEMORY):
        why = "memory"
    elif isinstance(error, RuntimeError) and any(sign in said for sign in OF_OTHERS):
        why = "others"
    try:
        pickle.loads(body := pickle.dumps(error))
    except Exception:  # noqa: BLE001  # any class may fail in its own way
        body = pickle.dumps(RuntimeError(said))
    return RankEnd(kind="failed", why=why, error=body, said=said, trace=traceback.format_exc())
