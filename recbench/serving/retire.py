"""The memory of a release that serves no longer, given back without holding anybody up.

To free an array is to unmap its pages, and Python does that while every other thread waits: 17 ms
for a million items. Here the pages go first, bit by bit and beside the interpreter.
"""

import ctypes
import mmap
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["retire"]

LARGE_BYTES = 1 << 20  # below, an array is freed in no time
PIECE_BYTES = 16 << 20
PATIENCE_S = 60.0
LOOK_S = 0.05
OWN_REFERENCES = 3  # the list that hands it over, the local name, and getrefcount's own argument


def retire(last: list[Any]) -> None:
    """Free the one object in ``last``, a dataclass that holds arrays, once nobody else uses it.

    Args:
        last: holds the only lasting reference, and is empty afterwards. A ``release`` of the object
            frees what is no array.
    """
    until = time.monotonic() + PATIENCE_S
    retired = last[0]
    while sys.getrefcount(retired) > OWN_REFERENCES and time.monotonic() < until:
        time.sleep(LOOK_S)
    if sys.getrefcount(retired) <= OWN_REFERENCES:
        if hasattr(retired, "release"):
            retired.release()
        for array in _arrays(retired):
            _give_pages_back(array)
    last.clear()
    del retired


def _arrays(held: Any) -> Iterable[npt.NDArray[Any]]:
    """All large arrays below an object, through dataclasses, tuples and dictionaries."""
    if isinstance(held, np.ndarray):
        if held.nbytes >= LARGE_BYTES and held.flags.c_contiguous:
            yield held
        return
    if isinstance(held, dict):
        parts: Iterable[Any] = held.values()
    elif isinstance(held, tuple | list):
        parts = held
    else:
        names = getattr(type(held), "__slots__", ())
        parts = [getattr(held, name, None) for name in names]
    for part in parts:
        if not isinstance(part, str | bytes | int | float | type(None)):
            yield from _arrays(part)


def _give_pages_back(array: npt.NDArray[Any]) -> None:
    """Drop the array's whole pages; what is read there afterwards is zero."""
    page = mmap.PAGESIZE
    begin = -(-array.ctypes.data // page) * page
    end = (array.ctypes.data + array.nbytes) // page * page
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    if advise is None:
        return
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for at in range(begin, end, PIECE_BYTES):
        advise(at, min(PIECE_BYTES, end - at), mmap.MADV_DONTNEED)  # ctypes lets others run
