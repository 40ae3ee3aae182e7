"""The next release made ready in a process of its own, once for all workers.

Whatever a worker does beside its requests holds them up now and then: by the interpreter's lock, by
the processor's caches. So a short-lived process verifies and lays out the release with whatever
time is left, and workers only map the result, one after the other.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recbench.errors import InputError, ReleaseError
from recbench.files import one_at_a_time

if TYPE_CHECKING:
    from recbench.refresh.registry import Registry
    from recbench.serving.served_release import ServedRelease

__all__ = ["main", "prepared"]

DRAFT = ".draft"


def prepared(
    registry: "Registry", release: str, scratch: Path, *, apart: bool, precision: str = "fp32"
) -> "ServedRelease":
    """A release ready to serve, laid out in ``scratch`` unless another worker had it done.

    Args:
        registry: of the release.
        release: its id.
        scratch: a folder shared by the workers of one service; it holds one release at a time, so
            a worker that wants an earlier one has it laid out again.
        apart: in a process of its own, with the time that nobody else wants; else here and now.
        precision: of the query tower.

    Raises:
        ReleaseError: the release is damaged, or cannot be laid out.
    """
    from recbench.serving.laid_out import lay_out, open_laid_out
    from recbench.serving.served_release import ServedRelease

    with one_at_a_time(scratch):
        folder = scratch / release
        if not folder.is_dir():
            _clear(scratch)
            draft = scratch / DRAFT
            draft.mkdir()
            if apart:
                _in_a_process(registry.path, release, draft, precision)
            else:
                with _told_where(draft):
                    served = ServedRelease.load(registry.open(release), precision=precision)
                    lay_out(served, draft)
            draft.rename(folder)
        return open_laid_out(folder)


@contextmanager
def _told_where(folder: Path) -> Iterator[None]:
    """A full disk is told as one; `InputError` goes through."""
    try:
        yield
    except OSError as error:
        raise ReleaseError(
            f"The release cannot be laid out in {folder.parent}: {error.strerror or error}. Free "
            "some space there, or name another folder by TMPDIR"
        ) from error


def _clear(scratch: Path) -> None:
    """Pages that workers have mapped stay until they let go of them."""
    for folder in scratch.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)


def _in_a_process(registry: Path, release: str, folder: Path, precision: str) -> None:
    arguments = [str(registry), release, str(folder), precision]
    done = subprocess.run(
        [sys.executable, "-m", "recbench.serving.prepare", str(os.getpid()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        told = done.stdout.decode(errors="replace").strip()
        raise ReleaseError(told or f"{release} cannot be laid out, the log above says why")


def main(parent: str, registry: str, release: str, folder: str, precision: str) -> int:
    """What the process does; what is wrong with the release goes to standard output."""
    from recbench.serving.idle import lower_process

    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with the worker that waits for it
    if os.getppid() != int(parent):
        return 1
    lower_process()
    from recbench.refresh.registry import Registry
    from recbench.serving.laid_out import lay_out
    from recbench.serving.served_release import ServedRelease

    try:
        with _told_where(Path(folder)):
            opened = Registry(Path(registry)).open(release)
            lay_out(ServedRelease.load(opened, precision=precision), Path(folder))
    except InputError as error:  # all else has its traceback in the service's log
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
