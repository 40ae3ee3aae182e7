"""Exposures that wait for their rewards: joined by request and item, within a window."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.evaluation.off_policy.reward import Reward

__all__ = ["Closed", "PendingDecisions"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[np.generic]]
Key = tuple[int, int]
Act = tuple[int, bool, int]  # ts, clicked, watch_ms
SLICES = 16  # of a window: what is shown within one may close together
BLOCK = ("request_ids", "item_ids", "ts", "features", "groups", "clicked", "watch_ms")


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """Decisions whose window is over, with their rewards."""

    features: npt.NDArray[np.floating]  # (E, d)
    rewards: Floats  # (E,)
    item_ids: Ints  # (E,)
    ts: Ints  # (E,) microseconds
    groups: Ints  # (E,) as they were noted

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
    groups: Ints
    clicked: npt.NDArray[np.bool_]
    watch_ms: Ints
    latest: int = field(init=False)

    def __post_init__(self) -> None:
        self.latest = int(self.ts.max())

    def pairs(self) -> Iterable[Key]:
        return zip(self.request_ids.tolist(), self.item_ids.tolist(), strict=True)


class PendingDecisions:
    """Holds what was shown until its window has passed; a reward counts once it is whole.

    A click counts when it happened within the window, ends included; watch times of one decision
    add up. What comes later, by its own time or because its decision is closed, is counted and let
    go. What comes before its exposure, such as from another topic, waits for it until the watermark
    has passed.

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
        self.n_repeats = 0  # decisions that were noted before, such as by a message sent twice
        self._blocks: list[_Block] = []
        self._places: dict[Key, tuple[_Block, int]] = {}
        self._early: dict[Key, list[Act]] = {}
        self._closed: deque[tuple[int, list[Key]]] = deque()
        self._was_closed: set[Key] = set()

    def __len__(self) -> int:
        """Decisions that wait."""
        return len(self._places)

    @property
    def n_early(self) -> int:
        """Actions that wait for their decision to be noted."""
        return sum(map(len, self._early.values()))

    def note(
        self,
        request_ids: Ints,
        item_ids: Ints,
        ts: Ints,
        features: npt.NDArray[np.floating],
        groups: Ints | None = None,
    ) -> None:
        """Remember (E,) decisions and their (E, d) features; those it has are counted, and left.

        ``groups`` (E,) tells them apart for whoever learns; default: all are of group 0.
        """
        groups = np.zeros(len(ts), dtype=np.int64) if groups is None else groups
        keys = list(zip(request_ids.tolist(), item_ids.tolist(), strict=True))
        if self._has_repeats(keys):
            fresh = self._first_of(keys)
            self.n_repeats += len(keys) - len(fresh)
            request_ids, item_ids, ts = request_ids[fresh], item_ids[fresh], ts[fresh]
            features, groups = features[fresh], groups[fresh]
            keys = [keys[row] for row in fresh.tolist()]
        slices = ts // max(1, self.window_us // SLICES)
        for one in np.unique(slices):
            rows = slice(None) if (slices == one).all() else np.flatnonzero(slices == one)
            keyed = request_ids[rows], item_ids[rows], ts[rows]
            self._hold(*keyed, features[rows], groups[rows])
        for key in self._early.keys() & set(keys) if self._early else ():
            for act in self._early.pop(key):
                self._count(*self._places[key], act)

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
            act = (at, bool(click), int(watched))
            if place is not None:
                self._count(*place, act)
            elif (request, item) in self._was_closed:
                self.n_late += 1
            else:
                self._early.setdefault((request, item), []).append(act)

    def closed(self, watermark_us: int) -> Closed | None:
        """The decisions whose windows are over at this watermark; None if there are none.

        What was shown within a sixteenth of the window, and noted together, closes together.
        """
        before = watermark_us - self.window_us
        done = [block for block in self._blocks if block.latest < before]
        if done:
            self._blocks = [block for block in self._blocks if block.latest >= before]
        self._remember([key for block in done for key in block.pairs()], watermark_us)
        self._give_up(watermark_us)
        if not done:
            return None
        return Closed(
            np.concatenate([block.features for block in done]),
            np.concatenate([self.reward.values(block.clicked, block.watch_ms) for block in done]),
            np.concatenate([block.item_ids for block in done]),
            np.concatenate([block.ts for block in done]),
            np.concatenate([block.groups for block in done]),
        )

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """What waits and what is remembered, to be kept; empty if nothing is."""
        kept: dict[str, npt.NDArray[np.generic]] = {}
        if self._blocks:
            kept["sizes"] = np.array([len(block.ts) for block in self._blocks])
            for name in BLOCK:
                kept[name] = np.concatenate([getattr(block, name) for block in self._blocks])
        early = [(*key, *act) for key, acts in self._early.items() for act in acts]
        if early:
            kept["early"] = np.array(early, dtype=np.int64)  # (A, 5)
        past = [(*key, at) for at, keys in self._closed for key in keys]
        if past:
            kept["past"] = np.array(past, dtype=np.int64)  # (E, 3)
        return kept

    def restore(self, arrays: Arrays) -> None:
        """Go on where ``arrays`` were taken."""
        if "sizes" in arrays:
            bounds = np.cumsum(arrays["sizes"])[:-1]
            parts = [np.split(arrays[name], bounds) for name in BLOCK]
            for columns in zip(*parts, strict=True):
                block = _Block(*(column.copy() for column in columns))
                self._blocks.append(block)
                self._places.update({key: (block, row) for row, key in enumerate(block.pairs())})
        for request, item, at, clicked, watched in _rows(arrays, "early"):
            self._early.setdefault((request, item), []).append((at, bool(clicked), watched))
        for request, item, at in _rows(arrays, "past"):
            if not self._closed or self._closed[-1][0] != at:
                self._closed.append((at, []))
            self._closed[-1][1].append((request, item))
            self._was_closed.add((request, item))

    def _hold(
        self,
        request_ids: Ints,
        item_ids: Ints,
        ts: Ints,
        features: npt.NDArray[np.floating],
        groups: Ints,
    ) -> None:
        n = len(ts)
        nothing = np.zeros(n, np.bool_), np.zeros(n, np.int64)
        block = _Block(request_ids, item_ids, ts, features, groups, *nothing)
        self._places.update({key: (block, row) for row, key in enumerate(block.pairs())})
        self._blocks.append(block)

    def _has_repeats(self, keys: list[Key]) -> bool:
        unique = set(keys)
        held = self._places.keys()
        return (
            len(unique) < len(keys)
            or not unique.isdisjoint(held)
            or not unique.isdisjoint(self._was_closed)
        )

    def _first_of(self, keys: list[Key]) -> Ints:
        """(E',) rows of the keys that are new, each once."""
        first: dict[Key, int] = {}
        for row, key in enumerate(keys):
            if key not in self._places and key not in self._was_closed:
                first.setdefault(key, row)
        return np.fromiter(first.values(), dtype=np.int64, count=len(first))

    def _count(self, block: _Block, row: int, act: Act) -> None:
        at, click, watched = act
        if not 0 <= at - block.ts[row] <= self.window_us:
            self.n_late += 1
            return
        block.clicked[row] |= click
        block.watch_ms[row] += max(watched, 0)

    def _give_up(self, watermark_us: int) -> None:
        """Let go of actions whose decision would have come by now."""
        if not self._early:
            return
        before = self.n_early
        kept = {
            key: [act for act in acts if act[0] >= watermark_us]
            for key, acts in self._early.items()
        }
        self._early = {key: acts for key, acts in kept.items() if acts}
        self.n_unknown += before - self.n_early

    def _remember(self, keys: list[Key], watermark_us: int) -> None:
        """For one window more it is known which actions are late."""
        for key in keys:
            del self._places[key]
        if keys:
            self._closed.append((watermark_us, keys))
            self._was_closed.update(keys)
        while self._closed and self._closed[0][0] + self.window_us < watermark_us:
            self._was_closed.difference_update(self._closed.popleft()[1])


def _rows(arrays: Arrays, name: str) -> list[list[int]]:
    rows: list[list[int]] = arrays[name].tolist() if name in arrays else []
    return rows
