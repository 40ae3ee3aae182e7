"""What a rank is told, and how it ended: plain values, so that a worker needs no torch."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["RankEnd", "RankOrders"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankOrders:
    """Which rank, where it finds the others, and what to do."""

    number: int
    n_ranks: int
    host: str  # of the driver's store
    port: int
    attempt: str  # keys of one attempt have this prefix
    work: str  # path of the pickled work
    backend: str
    collective_timeout_s: float
    n_threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RankEnd:
    """How a rank ended: with its result, with an error of its own, or by other hands."""

    kind: Literal["done", "failed", "died", "memory", "cancelled"]
    result: bytes = b""  # of "done", pickled
    why: Literal["", "error", "others", "memory"] = ""  # of "failed"
    error: bytes = b""  # of "failed", pickled
    said: str = ""  # in words
    trace: str = ""
