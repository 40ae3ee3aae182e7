"""Bars over the rounds of a study, and over what several threads do."""

import threading
from collections.abc import Collection, Iterator
from typing import TypeVar

from recbench.progress import bar

__all__ = ["Bar", "rounds_of"]

Round = TypeVar("Round")


def rounds_of(rounds: Collection[Round], *, label: str, unit: str) -> Iterator[Round]:
    """The rounds, one after another, with the time left."""
    with bar(len(rounds), label=label, unit=unit) as done:
        for each in rounds:
            yield each
            done.update(1)


class Bar:
    """A bar that several threads move, until it is closed."""

    def __init__(self, total: int, *, label: str, unit: str) -> None:
        self._bar = bar(total, label=label, unit=unit, miniters=0)
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
