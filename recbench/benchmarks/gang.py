"""Ranks as benches see them: their processes, and work that consists of meeting."""

import os
import time
from typing import TYPE_CHECKING, Any

import psutil
from torch import distributed

from recbench.training.distributed import Paused, Rank

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["keep_meeting", "meet", "rank_processes"]

STEP_S = 0.05


def meet(rank: Rank) -> int:
    """All are there."""
    distributed.barrier()
    return rank.n_ranks


def keep_meeting(rank: Rank) -> Any:
    """Steps with a checkpoint after each, for ever: tells how many ranks made each."""
    import torch

    while True:
        distributed.barrier()
        asked = torch.tensor(0)
        if rank.number == 0:
            rank.tell("saved", rank.n_ranks)
            asked += int(rank.asked_to_pause())
        distributed.broadcast(asked, src=0)
        if asked:
            return Paused(0)
        time.sleep(STEP_S)


def rank_processes(client: "Client") -> list[tuple[int, psutil.Process]]:
    """Each living rank on this machine, after the process id of its worker."""
    workers: Any = client.run(os.getpid)
    servers = [
        (worker, child)
        for worker in set(workers.values())
        for child in psutil.Process(worker).children()
        if "recbench.cluster.fork_server" in child.cmdline()
    ]
    return [(worker, rank) for worker, server in servers for rank in server.children()]
