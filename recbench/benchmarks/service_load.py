"""Load on a running service: what is asked, and how much it bears."""

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl
import psutil

from recbench.benchmarks.trained_release import users_with_history
from recbench.errors import JobError
from recbench.refresh import Release
from recbench.serving.load import Answers, Target, closed_loop

__all__ = ["Questions", "busy_frac", "by_clients", "saturation_per_s"]

CLIENTS = (1, 8, 32)  # eight is what a service is judged by


class Questions:
    """Requests of users with full histories, each as of just after the release's watermark.

    So a release gives a user one list, whenever it is asked, and what was served can be verified.
    """

    def __init__(self, release: Release, *, n_users: int = 256, k: int = 20) -> None:
        """The users whose history fills the tower; those with the longest where there are few."""
        self.k = k
        self.users: npt.NDArray[np.int64] = users_with_history(release, most=n_users)
        at_us = release.manifest.watermark_us + 1
        self.at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
        context = {"ts": self.at.isoformat()}
        self.bodies = [
            json.dumps({"user_id": user, "k": k, "context": context}).encode()
            for user in self.users.tolist()
        ]


def busy_frac(*, seconds: float = 1.0) -> float:
    """Share of the machine's cores that others use now, while nothing is measured."""
    return float(psutil.cpu_percent(interval=seconds)) / 100


def by_clients(
    pool: Executor,
    target: Target,
    bodies: list[bytes],
    *,
    clients: Sequence[int] = CLIENTS,
    seconds: float,
    real_time: bool = False,
) -> tuple[pl.DataFrame, dict[int, Answers]]:
    """Closed loops of more and more clients: a row of figures each, and all answers.

    Args:
        pool: of ``load_process``.
        target: the service.
        bodies: requests, sent in turns.
        clients: how many, in turn.
        seconds: of each loop.
        real_time: whether the clients go before all ordinary work of the machine.
    """
    load = partial(closed_loop, target, bodies, seconds=seconds, real_time=real_time)
    answers = {n: pool.submit(load, clients=n).result() for n in clients}
    rows = [{"clients": n} | found.summary() for n, found in answers.items()]
    return pl.DataFrame(rows), answers


def saturation_per_s(table: pl.DataFrame) -> float:
    """The highest rate of answers among closed loops.

    Raises:
        JobError: a loop of them failed somewhere, so the rate means nothing.
    """
    if table["errors"].sum():
        failed = table.select("clients", "requests", "errors").to_dicts()
        raise JobError(f"Closed loops had errors: {failed}")
    return float(table["answered_per_s"].max())  # type: ignore[arg-type]  # a float column
