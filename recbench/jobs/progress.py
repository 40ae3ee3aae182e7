"""A bar over the rounds of a study, which reads well in a terminal, a notebook and a log."""

import sys
from collections.abc import Collection, Iterator
from typing import TypeVar

from tqdm import tqdm

__all__ = ["rounds_of"]

Round = TypeVar("Round")


def rounds_of(rounds: Collection[Round], *, label: str, unit: str) -> Iterator[Round]:
    """The rounds, one after another, with the time left."""
    yield from tqdm(
        rounds, desc=label, unit=unit, mininterval=1, file=sys.stdout, ascii=True, ncols=80
    )
