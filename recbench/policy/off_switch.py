"""A file whose being there ends what chance or a policy has a part in, at once."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["OffSwitch"]

logger = logging.getLogger(__name__)

LOOK_S = 0.5  # between two looks


class OffSwitch:
    """Says whether there is a file at ``path``, which is looked at twice a second.

    Args:
        path: whoever makes a file there switches off; None: nobody can.
        what: is off then, in a log's words.
        clock: seconds, of which only differences matter.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        what: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._what, self._clock = path, what, clock
        self._is_off, self._look_at = False, clock()

    @property
    def is_off(self) -> bool:
        """As of the last look."""
        if self._path is not None and self._clock() >= self._look_at:
            self._look_at = self._clock() + LOOK_S
            before, self._is_off = self._is_off, self._path.exists()
            if before != self._is_off:
                logger.warning("%s is %s", self._what, "off" if self._is_off else "on again")
        return self._is_off
