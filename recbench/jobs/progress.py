"""Bars that read well in a terminal, a notebook and a log: one style for all of them."""

import sys
import threading
from collections.abc import Collection, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

__all__ = ["Bar", "rounds_of"]

Round = TypeVar("Round")
STYLE: dict[str, Any] = {"mininterval": 1, "ascii": True, "ncols": 80}


def rounds_of(rounds: Collection[Round], *, label: str, unit: str) -> Iterator[Round]:
    """The rounds, one after another, with the time left."""
    yield from tqdm(rounds, desc=label, unit=unit, file=sys.stdout, **STYLE)


class Bar:
    """A bar that several threads move, until it is closed."""

    def __init__(self, total: int, *, label: str, unit: str) -> None:
        self._bar = tqdm(total=total, desc=label, unit=unit, file=sys.stdout, miniters=0, **STYLE)
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """What goes on, behind the bar; shown once a second at most."""
        with self._lock:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(0)

    def step(self) -> None:
        """One more is done."""
        with self._lock:
            self._bar.update(1)

    def close(self) -> None:
        """Leave it as it stands."""
        self._bar.close()
