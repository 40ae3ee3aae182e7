"""Next-item counters at a cadence, asked for every next click of a log: test, then train.

The cheapest learner that a click log's freshness shows with. What it is asked with, the item that
was clicked last, is always live.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.intervals import LEVEL

__all__ = ["CADENCES", "freshness_curve", "hits"]

K = 20
CADENCES = {
    "never": timedelta.max,
    "1 d": timedelta(days=1),
    "1 h": timedelta(hours=1),
    "15 min": timedelta(minutes=15),
}
RESAMPLES = 1_000
LONGEST_US = 2**62

Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class _Counters:
    after: defaultdict[int, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    popular: Counter[int] = field(default_factory=Counter)
    best: dict[int, frozenset[int]] = field(default_factory=dict)  # as of the last refresh

    def learn(self, pairs: list[tuple[int, int]]) -> None:
        for item, following in pairs:
            self.after[item][following] += 1
            self.popular[following] += 1
            self.best.pop(item, None)
        if pairs:
            self.best.pop(-1, None)

    def knows(self, item: int, following: int) -> bool:
        """Whether it is among the best after the item, filled up by the most popular."""
        if item not in self.best:
            self.best[item] = _top(self.after.get(item, Counter()))
        own = self.best[item]
        if following in own or len(own) == K:
            return following in own
        if -1 not in self.best:
            self.best[-1] = _top(self.popular)
        return following in self.best[-1] and self._fills(item, following)

    def _fills(self, item: int, following: int) -> bool:
        own = self.best[item]
        ranked = sorted(self.best[-1] - own, key=lambda one: (-self.popular[one], one))
        return following in ranked[: K - len(own)]


def _top(counts: Counter[int]) -> frozenset[int]:
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return frozenset(item for item, _ in ranked[:K])


def hits(events: pl.DataFrame, *, share: float, every: timedelta) -> pl.DataFrame:
    """``user_id, hit``: whether each next click after the first ``share`` was among 20 told.

    The counters know the pairs of clicks before the last tick of the cadence; ticks are counted
    from the cut on. Nothing is charged for making them: this lag of zero is an ideal.

    Args:
        events: canonical, in order of time; ``user_id`` may be a session.
        share: of the events that come before the cut, in (0, 1).
        every: the cadence; ``CADENCES["never"]``: what was known at the cut.
    """
    if not 0 < share < 1:
        raise InputError(f"`share` must be in (0, 1), got {share}")
    clicks = events.filter(pl.col(c.CLICKED)) if c.CLICKED in events.columns else events
    at = pl.col(c.TS).dt.epoch("us")
    cut = clicks.select(at)[c.TS][int(share * len(clicks))]
    step = min(every // timedelta(microseconds=1), LONGEST_US)
    pairs = clicks.select(
        c.USER_ID,
        pl.col(c.ITEM_ID).shift(1).over(c.USER_ID).alias("item"),
        pl.col(c.ITEM_ID).alias("following"),
        pl.when(at < cut).then(-1).otherwise((at - cut) // step).alias("tick"),
    ).drop_nulls()
    counters, asked = _Counters(), []
    for window in pairs.partition_by("tick", maintain_order=True):
        rows = list(window.select("item", "following").iter_rows())
        if window["tick"][0] >= 0:
            found = [counters.knows(item, following) for item, following in rows]
            asked.append(window.select(c.USER_ID).with_columns(hit=pl.Series(found)))
        counters.learn(rows)
    return pl.concat(asked)


def freshness_curve(
    events: pl.DataFrame,
    *,
    share: float,
    against: str = "1 d",
    cadences: Mapping[str, timedelta] = CADENCES,
    seed: int = 0,
) -> pl.DataFrame:
    """``cadence, hit_rate, gain, low, high, n``: quality by cadence, and gains relative to one.

    The interval of the gain, ``hit_rate / that of against - 1``, is a bootstrap over users.

    Args:
        events: as for ``hits``.
        share: as for ``hits``.
        against: the cadence that gains are relative to.
        cadences: name -> time between two refreshes.
        seed: of the bootstrap.
    """
    if against not in cadences:
        raise InputError(f"`against` must be one of {list(cadences)}, got {against!r}")
    arms = {name: hits(events, share=share, every=every) for name, every in cadences.items()}
    users = np.unique(arms[against][c.USER_ID].to_numpy(), return_inverse=True)[1]
    sums = np.column_stack(
        [np.bincount(users, arm["hit"].cast(pl.Float64).to_numpy()) for arm in arms.values()]
    )
    n_users = len(sums)
    rng = np.random.default_rng(seed)
    drawn = [
        np.bincount(rng.integers(0, n_users, n_users), minlength=n_users) @ sums
        for _ in range(RESAMPLES)
    ]
    at = list(arms).index(against)
    gains = np.stack(drawn) / np.stack(drawn)[:, [at]] - 1
    low, high = np.quantile(gains, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    whole = sums.sum(axis=0)
    return pl.DataFrame(
        {
            "cadence": list(arms),
            "hit_rate": whole / len(users),
            "gain": whole / whole[at] - 1,
            "low": low,
            "high": high,
            "n": [len(users)] * len(arms),
        }
    )
