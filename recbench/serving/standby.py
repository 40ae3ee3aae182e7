"""A process that lays out releases with whatever time is left, and stays a while for the next one.

Starting Python and importing what reads a release takes longer than laying one out: where releases
follow each other fast, a process that stays saves the machine, and so the requests, half the work.
"""

import json
import logging
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from recbench.errors import InputError, ReleaseError

__all__ = ["Standby", "main"]

logger = logging.getLogger(__name__)

STAY_S = 120.0  # without anything to do: its memory is worth more than its start


class Standby:
    """One such process, started when it is needed first; for one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def lay_out(self, registry: Path, release: str, folder: Path, *, precision: str) -> None:
        """Verify a release and lay it out in an empty folder.

        Raises:
            ReleaseError: it is damaged, cannot be laid out, or the process was killed meanwhile.
        """
        job = {
            "registry": str(registry),
            "release": release,
            "folder": str(folder),
            "precision": precision,
        }
        was_there = self._process is not None
        told = self._ask(job)
        if told is None and was_there:  # it had ended since
            told = self._ask(job)
        if told is None:
            raise ReleaseError(
                f"{release} is not laid out: the process that was at it ended, killed perhaps for "
                "memory; the log above may say more"
            )
        if told["refused"] is not None:
            raise ReleaseError(told["refused"])

    def close(self) -> None:
        """End the process, whatever it is at; it ends by itself when this one does."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()  # first: whoever waits for its answer holds the pipe
        process.wait()
        for end in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):  # it is gone, with what was written last
                cast("IO[str]", end).close()

    def _ask(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """What the process answers; None if it is no more."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "recbench.serving.standby"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        to, answers = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        line = ""
        with suppress(BrokenPipeError):
            to.write(json.dumps(job) + "\n")
            to.flush()
            line = answers.readline()
        if not line:
            self.close()
            return None
        told: dict[str, Any] = json.loads(line)
        return told


def main() -> None:
    """What the process does, until there is nothing to do for a while or nobody to do it for."""
    from recbench.priority import lower_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever it works for
    lower_process()
    logging.basicConfig(level=logging.INFO, format="[next release] %(levelname)s %(message)s")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    while select.select([sys.stdin], [], [], STAY_S)[0]:
        line = sys.stdin.readline()
        if not line:
            break
        answers.write(json.dumps({"refused": _done(**json.loads(line))}) + "\n")
        answers.flush()


def _done(registry: str, release: str, folder: str, precision: str) -> str | None:
    """None, or why there is no such release to serve."""
    from recbench.refresh.registry import Registry
    from recbench.serving.prepare import laid_out_here

    try:
        laid_out_here(Registry(Path(registry)), release, Path(folder), precision=precision)
    except InputError as error:
        return str(error)
    except Exception:
        logger.exception("%s cannot be laid out", release)
        return f"{release} cannot be laid out, the log above says why"
    return None


if __name__ == "__main__":
    main()
