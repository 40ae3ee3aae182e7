"""The release that is served now: one reference, moved when the registry's pointer has moved."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recbench.errors import ReleaseError
from recbench.refresh.registry import POINTER, Registry
from recbench.serving.served_release import ServedRelease

__all__ = ["LiveRelease", "LiveStatus"]

logger = logging.getLogger(__name__)

RETRY_S = 30.0  # a release that was refused is looked at again after so long


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """What is served, and what is not though the registry names it."""

    release: str | None
    refused: str | None  # why the registry's current release is not served
    loading: bool
    n_swaps: int
    n_refused: int
    load_s: float  # what the last load took

    def to_json(self) -> dict[str, Any]:
        """Every field by name."""
        return {name: getattr(self, name) for name in self.__slots__}


def _loaded(registry: Registry, release: str) -> ServedRelease:
    return ServedRelease.load(registry.open(release))


class LiveRelease:
    """Holds one `ServedRelease` and loads the next one beside it.

    Args:
        registry: where releases are.
        name: "current", which follows the registry's pointer, or one release's id, which stays.
        load: makes a release of that id ready; default: here, from its verified files.
        publish: calls the function that it is given, there where the reference may be moved.
    """

    def __init__(
        self,
        registry: Registry,
        name: str = POINTER,
        *,
        load: Callable[[Registry, str], ServedRelease] = _loaded,
        publish: Callable[[Callable[[], None]], None] = lambda move: move(),
    ) -> None:
        self.now: ServedRelease | None = None
        self.retired: list[ServedRelease] = []  # at most one: what served before, to be freed
        self._registry, self._name = registry, name
        self._load, self._publish = load, publish
        self._seen: tuple[int, int] | None = None  # inode and time of change of the pointer
        self._retry_at: float | None = None
        self._refused: str | None = None
        self._loading = False
        self._n_swaps = self._n_refused = 0
        self._load_s = 0.0

    @property
    def status(self) -> LiveStatus:
        """As of now."""
        release = None if self.now is None else self.now.id
        return LiveStatus(
            release, self._refused, self._loading, self._n_swaps, self._n_refused, self._load_s
        )

    def is_stale(self) -> bool:
        """Whether ``renew`` may have something to do; takes microseconds."""
        if self._retry_at is not None and time.monotonic() >= self._retry_at:
            return True
        if self._name != POINTER:
            return self.now is None and self._retry_at is None
        return self._pointer() not in {None, self._seen}

    def renew(self) -> None:
        """Load the release that is to be served, warm it and move the reference to it.

        A release that cannot be opened, verified or run is refused; the old one goes on serving.
        """
        seen, began = self._pointer(), time.monotonic()
        self._loading = True
        try:
            release = self._registry.open(self._name, verify=False).manifest.release
            if self.now is None or self.now.id != release:
                served = self._load(self._registry, release)
                served.warm()
                self._load_s = time.monotonic() - began
                self._publish(lambda: self._move(served))
            self._refused = self._retry_at = None
        except Exception as error:  # noqa: BLE001  # whatever is wrong with it, the old one stays
            self._refuse(error)
        finally:
            self._seen, self._loading = seen, False

    def _move(self, served: ServedRelease) -> None:
        if self.now is not None:
            self._n_swaps += 1
            self.retired.append(self.now)
        self.now = served
        logger.info("Serving release %s, loaded in %.1f s", served.id, self._load_s)

    def _refuse(self, error: Exception) -> None:
        self._refused = str(error) if isinstance(error, ReleaseError) else f"cannot run: {error!r}"
        self._retry_at = time.monotonic() + RETRY_S
        self._n_refused += 1
        logger.error("The release is refused: %s", self._refused)

    def _pointer(self) -> tuple[int, int] | None:
        try:
            stat = os.stat(self._registry.path / POINTER)  # noqa: PTH116  # the cheapest look
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns
