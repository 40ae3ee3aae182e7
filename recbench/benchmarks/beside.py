"""What goes on beside a service: releases are published, a model is trained.

Each in a session of its own, as jobs have one: the system weighs sessions as a whole.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from recbench.errors import JobError
from recbench.priority import lower_process
from recbench.refresh import Registry

__all__ = ["publish_each", "training"]

BEGIN_S, END_S = 300.0, 60.0
EVENTS = 50_000  # of the log that is trained on


def publish_each(registry: Registry, releases: Sequence[str], *, every_s: float) -> list[float]:
    """Publish one release after the other; returns when (epoch seconds) each pointer had moved.

    At idle priority, as the refresh that makes releases: publishing verifies every file.

    Args:
        registry: of the releases.
        releases: sealed ones, in order.
        every_s: between two beginnings of a publication, and before the first.
    """
    _begin_as_a_job()
    moved, due = [], time.monotonic()
    for release in releases:
        due += every_s
        time.sleep(max(0.0, due - time.monotonic()))
        registry.publish(release)
        moved.append(time.time())
    return moved


@contextmanager
def training(*, seed: int) -> Iterator[None]:
    """A two-tower is being fitted, over and over, in a process of idle priority.

    Raises:
        JobError: the process ended before its time, at its beginning or meanwhile.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_train, args=(seed, theirs), daemon=True)
    process.start()
    try:
        if not ours.poll(BEGIN_S) or not process.is_alive():
            raise JobError(f"No training had begun after {BEGIN_S:.0f} s")
        yield
        if not process.is_alive():
            raise JobError(f"The training ended meanwhile, with code {process.exitcode}")
    finally:
        process.terminate()
        process.join(END_S)
        process.kill()
        process.join()


def _train(seed: int, told: "Connection[str, str]") -> None:
    _begin_as_a_job()  # before torch starts threads, which inherit the priority
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that no folder is left behind
    os.environ["TQDM_DISABLE"] = "1"  # nobody waits for it
    import tempfile

    from recbench.benchmarks.trained_release import trained_release

    told.send("begun")
    with tempfile.TemporaryDirectory() as home:
        os.environ["TMPDIR"] = tempfile.tempdir = home  # also of what torch leaves
        while not told.poll():  # at its end: whoever wanted this is gone
            with tempfile.TemporaryDirectory() as folder:
                trained_release(Registry(Path(folder)), events=EVENTS, seed=seed)


def _begin_as_a_job() -> None:
    if hasattr(os, "setsid") and os.getpgrp() != os.getpid():
        os.setsid()
    lower_process()
