"""A bandit's statistics kept up to date from a stream, exactly once, and its snapshots."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.off_policy.reward import Reward
from recbench.events.shown import completed, is_action, is_exposure
from recbench.policy.belief import Relearning
from recbench.policy.beliefs import Beliefs
from recbench.policy.item_counts import ItemCounts
from recbench.policy.pending import PendingDecisions
from recbench.policy.snapshot import read_snapshot, write_snapshot
from recbench.policy.statistics import LinearStatistics

__all__ = ["Context", "Learner"]

Ints = npt.NDArray[np.int64]
Context = Callable[[pl.DataFrame], npt.NDArray[np.floating]]
OFFSET = pl.col(c.KAFKA_OFFSET)
HALF_LIFE_US = 6 * 3_600_000_000
SILENT = 1_000  # decisions after which it is odd that none was rewarded
FIXED = (
    "neural",
    "window_us",
    "watch_share",
    "full_watch_ms",
    "half_life_us",
    "half_life_events",
)
TELL = ("n_late", "n_unknown", "n_repeats")


class Learner:
    """Takes in exposures and actions as they come, and knows how far it has read.

    Rows at offsets that it has read are passed over, so that a stream may be read again from
    anywhere before. The watermark is the latest ``ts`` of the slowest partition. Exposures whose
    contexts are of other towers (``towers``: a release that was fitted anew) go into a belief of
    their own; the rates of items go on.

    Args:
        dim: d of the features; None: of the first that come.
        context: makes (E, d) features of exposures; a row that begins with NaN says that nothing
            is known of an exposure, which is counted and left out.
        window_us: how long after its exposure an action counts, microseconds.
        reward: what an exposure earned.
        lateness_us: how far behind the latest row of its partition one may come.
        relearning: of a network, for neural-linear; None: linear in the features.
        half_life_us: after which a showing counts half in an item's rate.
        half_life_events: decisions after which one counts half in what is believed; None: never.
    """

    def __init__(
        self,
        dim: int | None,
        context: Context,
        *,
        window_us: int,
        reward: Reward,
        lateness_us: int = 0,
        relearning: Relearning | None = None,
        half_life_us: float = HALF_LIFE_US,
        half_life_events: float | None = None,
    ) -> None:
        self.offsets: dict[str, int] = {}  # partition of a topic -> the next offset to be read
        self.idle: set[str] = set()  # partitions that do not hold the watermark back
        self.n_without_context = 0
        self.beliefs = Beliefs(dim or 0, relearning=relearning, half_life=half_life_events)
        self.towers: list[str] = []  # whose contexts came so far
        self.counts = ItemCounts(half_life_us=half_life_us)
        self.pending = PendingDecisions(window_us=window_us, reward=reward)
        self._context, self._lateness_us = context, lateness_us
        self._latest: dict[str, int | None] = {}  # partition -> its latest ts

    @property
    def statistics(self) -> LinearStatistics:
        """Of what is known for good, of the towers that were learnt last."""
        return self.beliefs.statistics

    @property
    def watermark_us(self) -> int | None:
        """Of the slowest partition that is not idle; None before there is one."""
        waited = [at for place, at in self._latest.items() if place not in self.idle]
        held = waited or [max((at for at in self._latest.values() if at), default=None)]
        known = [at for at in held if at is not None]
        return min(known) - self._lateness_us if known and len(known) == len(held) else None

    def expect(self, places: Iterable[str]) -> None:
        """Partitions that hold the watermark back until they were read, or are ``idle``."""
        self._latest = dict.fromkeys(places) | self._latest

    def feed(self, rows: pl.DataFrame, *, source: str = "") -> int:
        """Take in canonical rows of a stream, in order of arrival.

        Args:
            rows: with ``kafka_partition`` and ``kafka_offset``.
            source: the topic that these count in, and perhaps its cluster.

        Returns:
            How many rows were new.

        Raises:
            InputError: offsets are missing, or the context makes features of another shape.
        """
        new = self._unread(completed(rows), source)
        if not len(new):
            return 0
        shown = new.filter(is_exposure())
        if len(shown):
            self._note(shown)
        acted = new.filter(is_action())
        clicked = acted[c.CLICKED].fill_null(False).to_numpy()
        self.pending.act(*_keys(acted), clicked, acted[c.WATCH_MS].fill_null(0).to_numpy())
        self._advance(new, source)
        self.learn_what_is_whole()
        return len(new)

    def learn_what_is_whole(self) -> int:
        """Learn from decisions whose windows are over by now; how many there were."""
        watermark = self.watermark_us
        done = None if watermark is None else self.pending.closed(watermark)
        if done is None:
            return 0
        self.beliefs.learn(self.towers, done.groups, done.features, done.rewards)
        self.counts.add(done.item_ids, done.rewards, done.ts)
        return len(done)

    def warnings(self) -> list[str]:
        """What whoever lets it decide must know."""
        n, found = self.statistics.n_events, []
        if n >= SILENT and not self.statistics.reward_sum:
            found.append(
                f"No reward came for any of {n:.0f} decisions: do actions carry the `request_id` "
                "and `item_id` of what was shown? Nothing is decided by this"
            )
        if self.n_without_context:
            found.append(
                f"{self.n_without_context} exposures had no context of this policy's size and are "
                "left out"
            )
        return found

    def told(self) -> dict[str, Any]:
        """Numbers of a snapshot: where it stands, and what was counted."""
        return {
            "dim": self.beliefs.dim,
            "neural": self.beliefs.relearning is not None,
            "half_life_events": self.beliefs.half_life,
            "towers": self.towers,
            "beliefs": self.beliefs.told(),
            "offsets": self.offsets,
            "latest": self._latest,
            "watermark_us": self.watermark_us,
            "n_events": self.statistics.n_events,
            "reward_sum": self.statistics.reward_sum,
            "n_pending": len(self.pending),
            "n_early": self.pending.n_early,
            "n_without_context": self.n_without_context,
            "half_life_us": self.counts.half_life_us,
            "window_us": self.pending.window_us,
            "watch_share": self.pending.reward.watch_share,
            "full_watch_ms": self.pending.reward.full_watch_ms,
            **{name: getattr(self.pending, name) for name in TELL},
        }

    def save(self, path: Path) -> None:
        """Statistics, what waits, and offsets in one file, whole or not at all."""
        arrays = {
            "beliefs": self.beliefs.arrays(),
            "items": self.counts.arrays(),
            "pending": self.pending.arrays(),
        }
        write_snapshot(path, self.told(), arrays)

    def restore(self, path: Path) -> None:
        """Go on where a snapshot was taken.

        Raises:
            InputError: it is no snapshot, of other features, or of another window or reward.
        """
        told, arrays = read_snapshot(path)
        if self.beliefs.dim not in {0, told["dim"]}:
            raise InputError(f"{path} has {told['dim']} features, this learner {self.beliefs.dim}")
        own = self.told()
        for name in FIXED:
            if told[name] != own[name]:
                raise InputError(
                    f"{path} was learnt with `{name}` {told[name]}, got {own[name]}: what is in it "
                    "cannot be added to; begin a new one"
                )
        parts: dict[str, dict[str, Any]] = {"beliefs": {}, "items": {}, "pending": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = array
        before = self.beliefs
        self.beliefs = Beliefs(
            told["dim"], relearning=before.relearning, half_life=before.half_life
        )
        self.beliefs.restore(told["beliefs"], parts["beliefs"])
        self.towers = told["towers"]
        self.counts.restore(parts["items"])
        self.pending.restore(parts["pending"])
        for name in TELL:
            setattr(self.pending, name, told[name])
        self.n_without_context = told["n_without_context"]
        self.offsets, self._latest = told["offsets"], told["latest"]

    def _note(self, shown: pl.DataFrame) -> None:
        features = self._context(shown)
        if not self.beliefs.dim:
            self.beliefs.dim = features.shape[-1]
        dim = self.beliefs.dim
        if features.shape != (len(shown), dim):
            raise InputError(
                f"`context` must make features of shape ({len(shown)}, {dim}), got {features.shape}"
            )
        is_known = ~np.isnan(features[:, 0]) if dim else np.zeros(len(shown), np.bool_)
        if not is_known.all():
            self.n_without_context += int((~is_known).sum())
            shown, features = shown.filter(pl.Series(is_known)), features[is_known]
        self.pending.note(*_keys(shown), features, self._towers_of(shown))

    def _towers_of(self, shown: pl.DataFrame) -> Ints:
        """(E,) places among ``towers``; an exposure that does not say has an empty name."""
        known = c.TOWERS in shown.columns
        names = shown[c.TOWERS].fill_null("") if known else pl.Series([""] * len(shown))
        seen = names.unique(maintain_order=True).to_list()
        self.towers += [name for name in seen if name not in self.towers]
        places = {name: place for place, name in enumerate(self.towers)}
        return np.array([places[name] for name in names.to_list()], dtype=np.int64)

    def _unread(self, rows: pl.DataFrame, source: str) -> pl.DataFrame:
        missing = [n for n in (c.KAFKA_PARTITION, c.KAFKA_OFFSET) if n not in rows.columns]
        if missing:
            raise InputError(f"Rows of a stream need the columns {missing}, got {rows.columns}")
        parts = []
        for (partition,), part in rows.group_by(c.KAFKA_PARTITION, maintain_order=True):
            unread = part.filter(self.offsets.get(f"{source}[{partition}]", 0) <= OFFSET)
            parts.append(unread.unique(c.KAFKA_OFFSET, keep="first", maintain_order=True))
        return pl.concat(parts) if parts else rows

    def _advance(self, new: pl.DataFrame, source: str) -> None:
        """Know how far was read."""
        last = new.group_by(c.KAFKA_PARTITION).agg(OFFSET.max(), pl.col(c.TS).dt.epoch("us").max())
        for partition, offset, ts in last.iter_rows():
            place = f"{source}[{partition}]"
            self.offsets[place] = offset + 1
            self._latest[place] = max(ts, self._latest.get(place) or ts)


def _keys(rows: pl.DataFrame) -> tuple[Ints, Ints, Ints]:
    request, item = (rows[n].cast(pl.Int64).to_numpy() for n in (c.REQUEST_ID, c.ITEM_ID))
    return request, item, rows[c.TS].dt.epoch("us").to_numpy()
