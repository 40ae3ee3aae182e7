"""Work for ranks that only meet: what launching and changing their number costs by itself."""

import time
from typing import Any

from torch import distributed

from recbench.training.distributed import Paused, Rank

__all__ = ["keep_meeting", "meet"]

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
