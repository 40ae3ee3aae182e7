"""A bandit's statistics kept up to date from a stream, exactly once, and its snapshots."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.off_policy.reward import Reward
from recbench.events.shown import completed, is_action, is_exposure
from recbench.files import whole_file
from recbench.policy.pending import PendingDecisions
from recbench.policy.statistics import LinearStatistics

__all__ = ["Context", "Learner"]

Ints = npt.NDArray[np.int64]
Context = Callable[[pl.DataFrame], npt.NDArray[np.floating]]
OFFSET = pl.col(c.KAFKA_OFFSET)


class Learner:
    """Takes in exposures and actions as they come, and knows how far it has read.

    Rows at offsets that it has read are passed over, so that a stream may be read again from
    anywhere before. The watermark is that of the slowest partition: its latest ``ts``.

    Args:
        dim: d of the features.
        context: makes (E, d) features of exposures.
        window_us: how long after its exposure an action counts, microseconds.
        reward: what an exposure earned.
    """

    def __init__(self, dim: int, context: Context, *, window_us: int, reward: Reward) -> None:
        self.statistics = LinearStatistics.zeros(dim)
        self.offsets: dict[int, int] = {}  # partition -> the next offset to be read
        self.pending = PendingDecisions(window_us=window_us, reward=reward)
        self._context = context
        self._latest: dict[int, int] = {}  # partition -> its latest ts

    @property
    def watermark_us(self) -> int | None:
        """Of the slowest partition that it has read of; None before there is one."""
        return min(self._latest.values(), default=None)

    def feed(self, rows: pl.DataFrame) -> int:
        """Take in canonical rows of a stream, in order of arrival.

        Args:
            rows: with ``kafka_partition`` and ``kafka_offset``.

        Returns:
            How many rows were new.

        Raises:
            InputError: offsets are missing, or the context makes features of another shape.
        """
        new = self._unread(completed(rows))
        if not len(new):
            return 0
        shown = new.filter(is_exposure())
        if len(shown):
            features = self._context(shown)
            if features.shape != (len(shown), self.statistics.dim):
                raise InputError(
                    f"`context` must make features of shape ({len(shown)}, "
                    f"{self.statistics.dim}), got {features.shape}"
                )
            self.pending.note(*_keys(shown), features)
        acted = new.filter(is_action())
        clicked = acted[c.CLICKED].fill_null(False).to_numpy()
        self.pending.act(*_keys(acted), clicked, acted[c.WATCH_MS].fill_null(0).to_numpy())
        self._advance(new)
        return len(new)

    def save(self, path: Path) -> None:
        """Statistics, what waits, and offsets in one file, whole or not at all."""
        from safetensors.numpy import save_file

        told = {
            "offsets": self.offsets,
            "latest": self._latest,
            "n_events": self.statistics.n_events,
            "reward_sum": self.statistics.reward_sum,
            "n_late": self.pending.n_late,
            "n_unknown": self.pending.n_unknown,
        }
        arrays = {f"pending.{name}": a for name, a in self.pending.arrays().items()}
        arrays |= {"gram": self.statistics.gram, "moment": self.statistics.moment}
        held = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        with whole_file(path) as draft:
            save_file(held, draft, metadata={"learner": json.dumps(told)})

    def restore(self, path: Path) -> None:
        """Go on where a snapshot was taken.

        Raises:
            InputError: it is no snapshot, or of other features.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                told = json.loads(file.metadata()["learner"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # a file of tensors is no mapping
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no snapshot of a learner: {error}") from error
        if len(arrays["moment"]) != self.statistics.dim:
            raise InputError(
                f"{path} has {len(arrays['moment'])} features, this learner {self.statistics.dim}"
            )
        self.statistics = LinearStatistics(
            arrays["gram"], arrays["moment"], told["n_events"], told["reward_sum"]
        )
        self.pending.restore(
            {n.removeprefix("pending."): a for n, a in arrays.items() if n.startswith("pending.")}
        )
        self.pending.n_late, self.pending.n_unknown = told["n_late"], told["n_unknown"]
        self.offsets = {int(name): offset for name, offset in told["offsets"].items()}
        self._latest = {int(name): at for name, at in told["latest"].items()}

    def _unread(self, rows: pl.DataFrame) -> pl.DataFrame:
        missing = [n for n in (c.KAFKA_PARTITION, c.KAFKA_OFFSET) if n not in rows.columns]
        if missing:
            raise InputError(f"Rows of a stream need the columns {missing}, got {rows.columns}")
        parts = []
        for (partition,), part in rows.group_by(c.KAFKA_PARTITION, maintain_order=True):
            unread = part.filter(self.offsets.get(int(partition), 0) <= OFFSET)
            parts.append(unread.unique(c.KAFKA_OFFSET, keep="first", maintain_order=True))
        return pl.concat(parts) if parts else rows

    def _advance(self, new: pl.DataFrame) -> None:
        """Know how far was read, and learn from what is whole by now."""
        last = new.group_by(c.KAFKA_PARTITION).agg(OFFSET.max(), pl.col(c.TS).dt.epoch("us").max())
        for partition, offset, ts in last.iter_rows():
            self.offsets[partition] = offset + 1
            self._latest[partition] = max(ts, self._latest.get(partition, ts))
        watermark = self.watermark_us
        done = None if watermark is None else self.pending.closed(watermark)
        if done is not None:
            self.statistics.add(done.features, done.rewards)


def _keys(rows: pl.DataFrame) -> tuple[Ints, Ints, Ints]:
    request, item = (rows[n].cast(pl.Int64).to_numpy() for n in (c.REQUEST_ID, c.ITEM_ID))
    return request, item, rows[c.TS].dt.epoch("us").to_numpy()
