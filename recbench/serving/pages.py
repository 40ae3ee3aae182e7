"""Pages of memory, taken and given back bit by bit and beside the interpreter."""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["drop_pages", "map_pages"]

PIECE_BYTES = 16 << 20
POPULATE_READ = 22  # of Linux 5.14; an earlier one refuses it
MAPS = Path("/proc/self/maps")


def map_pages(folder: Path) -> None:
    """Have at hand what this process maps of the files in ``folder``.

    Else the first to read a page waits for it to be mapped: after a swap each request met a hundred
    such pages. Where the system has no such call they still do.
    """
    for begin, end in _mapped(f"{folder}/"):
        _advise(begin, end, POPULATE_READ)


def drop_pages(begin: int, end: int) -> None:
    """Give back whole pages between two addresses; what is read there afterwards is zero."""
    page = mmap.PAGESIZE
    _advise(-(-begin // page) * page, end // page * page, mmap.MADV_DONTNEED)


def _mapped(prefix: str) -> Iterator[tuple[int, int]]:
    with suppress(FileNotFoundError):
        for line in MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
            span, *_, path = line.split(maxsplit=5)
            if path.startswith(prefix):
                begin, end = (int(address, 16) for address in span.split("-"))
                yield begin, end


def _advise(begin: int, end: int, what: int) -> None:
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    if advise is None:
        return
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for at in range(begin, end, PIECE_BYTES):
        advise(at, min(PIECE_BYTES, end - at), what)  # ctypes lets others run
