"""A release served from a folder of its own, to be looked at under load and swapped for copies."""

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import polars as pl

from recbench.benchmarks.full_service import full_service
from recbench.benchmarks.running_service import RunningService
from recbench.benchmarks.serve import floor_ms
from recbench.benchmarks.service_load import Questions, by_clients
from recbench.benchmarks.swap import Swapped, swap_under_load
from recbench.benchmarks.trained_release import enlarged
from recbench.priority import ASKING, require_urgency
from recbench.refresh import Registry, Release
from recbench.refresh.contents import Contents
from recbench.serving.load import Answers, load_process, open_loop
from recbench.serving.load.answers import latency_percentiles
from recbench.serving.real_time import require_real_time

__all__ = ["ServiceCheck"]

WARM_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class ServiceCheck:
    """A service with two workers, a process that puts load on it, and releases to swap in.

    The registry that the release is from is not touched.
    """

    release: Release
    copies: list[str]  # perturbed ones, sealed, to be published
    registry: Registry
    questions: Questions
    service: RunningService
    pool: ProcessPoolExecutor
    real_time: bool  # whether service and clients go before all ordinary work
    everything: ExitStack  # what is to be ended

    @classmethod
    def start(
        cls,
        release: Release,
        *,
        n_copies: int,
        n_items: int = 0,
        real_time: bool = False,
        seed: int = 0,
    ) -> Self:
        """Serve the release and warm the service up.

        Args:
            release: as it is, unless ``n_items`` asks for a larger catalogue.
            n_copies: how many releases there are to be swapped in, each with perturbed embeddings.
            n_items: of the catalogue, at least as many as there are; 0: as many.
            real_time: whether the service and its clients run at real-time priority.
            seed: of the copies.

        Raises:
            InputError: no leave for that priority.
            JobError: the service does not start.
        """
        if real_time:
            require_real_time()
            require_urgency(ASKING)
        options = ["--real-time"] if real_time else []
        with ExitStack() as begun:
            workspace = Path(begun.enter_context(tempfile.TemporaryDirectory()))
            registry = Registry(workspace / "registry")
            size = n_items or len(Contents.read(release).items)
            if n_items:
                served = enlarged(release, registry=registry, n_items=size, seed=seed)
            else:
                name = release.manifest.release
                folder = Path(shutil.copytree(release.folder, registry.path / name))
                served = Release(folder, release.manifest)
            copies = [
                enlarged(release, registry=registry, n_items=size, seed=seed + at).manifest.release
                for at in range(1, n_copies + 1)
            ]
            registry.publish(served.manifest.release)
            service, _ = begun.enter_context(full_service(workspace, served, options=options))
            pool = begun.enter_context(load_process())
            questions = Questions(served)
            check = cls(
                served, copies, registry, questions, service, pool, real_time, begun.pop_all()
            )
        check.closed([8], seconds=WARM_S)
        return check

    def closed(
        self, clients: Sequence[int], *, seconds: float
    ) -> tuple[pl.DataFrame, dict[int, Answers]]:
        """Closed loops of so many clients, in turn: a row of figures each, and all answers."""
        bodies, target = self.questions.bodies, self.service.target
        return by_clients(
            self.pool, target, bodies, clients=clients, seconds=seconds, real_time=self.real_time
        )

    def opened(self, *, per_s: float, seconds: float) -> Answers:
        """Poisson arrivals of so many requests a second."""
        load = partial(open_loop, per_s=per_s, seconds=seconds, real_time=self.real_time)
        return self.pool.submit(load, self.service.target, self.questions.bodies).result()

    def floor(self) -> dict[str, float]:
        """Latencies of the bare tower and index, called in this process."""
        return latency_percentiles(floor_ms(self.release, self.questions))

    def swapped(self, *, per_s: float, every_s: float) -> Swapped:
        """Publish one copy after the other under load, and verify every answer."""
        return swap_under_load(
            self.service.target,
            self.questions,
            self.copies,
            registry=self.registry,
            pool=self.pool,
            per_s=per_s,
            every_s=every_s,
            real_time=self.real_time,
        )

    def stop(self) -> None:
        """End the processes and remove the folder."""
        self.everything.close()
