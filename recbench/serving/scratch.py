"""A folder that the workers of one service share, gone when the service is."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["scratch_folder"]

PREFIX, OWNED = "recbench-serve-", ".owned"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder for temporary files; removes what services left there that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        _remove_if_orphaned(left)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with (folder / OWNED).open("w") as owned:
        fcntl.flock(owned, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_if_orphaned(folder: Path) -> None:
    try:
        with (folder / OWNED).open("r+") as owned:
            if _is_free(owned):
                shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # it is somebody else's, or just begins or ends
        return


def _is_free(owned: IO[str]) -> bool:
    try:
        fcntl.flock(owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
