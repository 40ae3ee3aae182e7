"""Decisions that wait for what comes of them: rewards join by request and item, within a window."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.evaluation.off_policy.reward import Reward

__all__ = ["Closed", "PendingDecisions"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Key = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """Decisions whose window is over, with their rewards."""

    features: npt.NDArray[np.floating]  # (E, d)
    rewards: Floats  # (E,)

    def __len__(self) -> int:
        """E."""
        return len(self.rewards)


@dataclass(slots=True, eq=False)
class _Block:
    """Decisions that were noted together."""

    request_ids: Ints
    item_ids: Ints
    ts: Ints  # microseconds
    features: npt.NDArray[np.floating]
    clicked: npt.NDArray[np.bool_]
    watch_ms: Ints

    def pairs(self) -> Iterable[Key]:
        return zip(self.request_ids.tolist(), self.item_ids.tolist(), strict=True)


class PendingDecisions:
    """Holds what was shown until its window has passed; a reward counts once it is whole.

    A click counts when it happened within the window, ends included; watch times of one decision
    add up. What comes later, by its own time or because its decision is closed, is counted and let
    go.

    Args:
        window_us: microseconds from a decision on.
        reward: of clicks and watch time.
    """

    def __init__(self, *, window_us: int, reward: Reward) -> None:
        if window_us <= 0:
            raise InputError(f"`window_us` must be positive, got {window_us}")
        self.window_us, self.reward = window_us, reward
        self.n_late = 0  # actions on decisions whose window was over
        self.n_unknown = 0  # actions on nothing that was noted, or not for long
        self._blocks: deque[_Block] = deque()
        self._places: dict[Key, tuple[_Block, int]] = {}
        self._closed: deque[tuple[int, list[Key]]] = deque()
        self._was_closed: set[Key] = set()

    def __len__(self) -> int:
        """Decisions that wait."""
        return len(self._places)

    def note(
        self, request_ids: Ints, item_ids: Ints, ts: Ints, features: npt.NDArray[np.floating]
    ) -> None:
        """Remember (E,) decisions and their (E, d) features.

        Raises:
            InputError: a request shows an item that it has shown before.
        """
        n = len(request_ids)
        block = _Block(
            request_ids, item_ids, ts, features, np.zeros(n, np.bool_), np.zeros(n, np.int64)
        )
        before = len(self._places)
        self._places.update({key: (block, row) for row, key in enumerate(block.pairs())})
        if len(self._places) != before + n:
            raise InputError("A request shows one item twice: its reward would count for both")
        self._blocks.append(block)

    def act(
        self,
        request_ids: Ints,
        item_ids: Ints,
        ts: Ints,
        clicked: npt.NDArray[np.bool_],
        watch_ms: Ints,
    ) -> None:
        """What was done, (A,) each; a watch time of 0 or below is none."""
        found = self._places.get
        columns = (request_ids.tolist(), item_ids.tolist(), ts.tolist(), clicked, watch_ms)
        for request, item, at, click, watched in zip(*columns, strict=True):
            place = found((request, item))
            if place is None:
                if (request, item) in self._was_closed:
                    self.n_late += 1
                else:
                    self.n_unknown += 1
                continue
            block, row = place
            if not 0 <= at - block.ts[row] <= self.window_us:
                self.n_late += 1
                continue
            block.clicked[row] |= click
            block.watch_ms[row] += max(int(watched), 0)

    def closed(self, watermark_us: int) -> Closed | None:
        """The decisions whose windows are over at this watermark; None if there are none.

        Blocks close as a whole, in the order in which they were noted.
        """
        done: list[_Block] = []
        while self._blocks and int(self._blocks[0].ts.max()) + self.window_us < watermark_us:
            done.append(self._blocks.popleft())
        self._remember([key for block in done for key in block.pairs()], watermark_us)
        if not done:
            return None
        rewards = [self.reward.values(block.clicked, block.watch_ms) for block in done]
        return Closed(np.concatenate([block.features for block in done]), np.concatenate(rewards))

    def _remember(self, keys: list[Key], watermark_us: int) -> None:
        """For one window more it is known which actions are late."""
        for key in keys:
            del self._places[key]
        if keys:
            self._closed.append((watermark_us, keys))
            self._was_closed.update(keys)
        while self._closed and self._closed[0][0] + self.window_us < watermark_us:
            self._was_closed.difference_update(self._closed.popleft()[1])

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """What waits, to be kept; empty if nothing does."""
        names = ("request_ids", "item_ids", "ts", "features", "clicked", "watch_ms")
        sizes = np.array([len(block.ts) for block in self._blocks])
        if not len(sizes):
            return {}
        columns = {
            name: np.concatenate([getattr(block, name) for block in self._blocks]) for name in names
        }
        return columns | {"sizes": sizes}

    def restore(self, arrays: dict[str, npt.NDArray[np.generic]]) -> None:
        """Go on where ``arrays`` were taken; late actions of before count as unknown."""
        if not arrays:
            return
        bounds = np.cumsum(arrays["sizes"])[:-1]
        names = ("request_ids", "item_ids", "ts", "features", "clicked", "watch_ms")
        parts = [np.split(arrays[name], bounds) for name in names]
        for columns in zip(*parts, strict=True):
            block = _Block(*(column.copy() for column in columns))
            self._blocks.append(block)
            self._places.update({key: (block, row) for row, key in enumerate(block.pairs())})
