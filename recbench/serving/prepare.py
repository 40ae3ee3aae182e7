"""The next release made ready once for all workers, beside their requests.

Whatever a worker does beside its requests holds them up now and then: by the interpreter's lock, by
the processor's caches. So a process of its own verifies and lays out the release, and workers only
map the result, one after the other.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbench.errors import ReleaseError
from recbench.files import one_at_a_time
from recbench.refresh.registry import Registry
from recbench.serving.laid_out import lay_out, open_laid_out
from recbench.serving.served_release import ServedRelease
from recbench.serving.standby import Standby

__all__ = ["laid_out_here", "prepared"]


def prepared(
    registry: Registry,
    release: str,
    scratch: Path,
    *,
    standby: Standby | None,
    precision: str = "fp32",
) -> ServedRelease:
    """A release ready to serve, laid out in ``scratch`` unless another worker had it done.

    Args:
        registry: of the release.
        release: its id.
        scratch: a folder shared by the workers of one service; it holds one release at a time, so
            a worker that wants an earlier one has it laid out again.
        standby: lays it out, with the time that nobody else wants; None: done here and now.
        precision: of the query tower.

    Raises:
        ReleaseError: the release is damaged, or cannot be laid out.
    """
    with one_at_a_time(scratch):
        folder = scratch / release
        if not folder.is_dir():
            _clear(scratch)
            if standby is None:
                draft = laid_out_here(registry, release, scratch, precision=precision)
            else:
                draft = standby.lay_out(registry.path, release, precision=precision)
            draft.rename(folder)
        return open_laid_out(folder)


def laid_out_here(registry: Registry, release: str, scratch: Path, *, precision: str) -> Path:
    """Verify a release and lay it out; returns the new folder in ``scratch``, which is a draft.

    Raises:
        ReleaseError: the release is damaged, or the disk is full.
    """
    with _told_where(scratch):
        # of its own: that of a worker just killed, or of who took too long, may go on
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=scratch))
        lay_out(registry.open(release), draft, precision=precision)
    return draft


@contextmanager
def _told_where(scratch: Path) -> Iterator[None]:
    """A full disk is told as one; `InputError` goes through."""
    try:
        yield
    except OSError as error:
        raise ReleaseError(
            f"The release cannot be laid out in {scratch}: {error.strerror or error}. Free "
            "some space there, or name another folder by TMPDIR"
        ) from error


def _clear(scratch: Path) -> None:
    """Pages that workers have mapped stay until they let go of them."""
    for folder in scratch.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
