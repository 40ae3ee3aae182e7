"""The one style of progress: a bar with the time left, in a terminal, a notebook and a log."""

import sys
from typing import Any, TextIO

from tqdm import tqdm

__all__ = ["bar"]


def bar(
    total: int | None,
    *,
    label: str = "",
    unit: str,
    initial: int = 0,
    stream: TextIO | None = None,
    **options: Any,
) -> "tqdm[Any]":
    """A bar that is drawn once a second at most, in plain characters, 80 columns wide.

    Args:
        total: units in all; None: unknown, so that no time is left to be told.
        label: what goes on.
        unit: of ``total``.
        initial: units that were done before.
        stream: where to; None: standard output, which notebooks and logs keep.
        options: more of tqdm's, such as ``unit_scale``.
    """
    return tqdm(
        total=total,
        desc=label or None,
        unit=unit,
        initial=initial,
        file=stream or sys.stdout,
        mininterval=1,
        ascii=True,
        ncols=80,
        **options,
    )
