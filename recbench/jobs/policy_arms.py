"""Policies in closed loop: each in a world of its own, of the same traffic, beside the truth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.datasets.world.closed_loop import Shown, run
from recbench.datasets.world.protocol import Asked, Feedback, Policy
from recbench.datasets.world.sampling import UniformPolicy
from recbench.evaluation.intervals import Interval, bootstrap_mean
from recbench.jobs.policy_judged import TODAY, Chances
from recbench.jobs.policy_log import END_H, LOGGED_H, TRAINED_H, PolicyLog
from recbench.policy.constraints import ExposureFloor
from recbench.policy.world.bandit import BanditDials, BanditInWorld, IsProtected
from recbench.policy.world.context import WorldContext
from recbench.policy.world.drawn import DrawnPolicy, Switched
from recbench.policy.world.retrieval import Pool

__all__ = ["FREE", "KEPT_NEW", "KEPT_TAIL", "ORACLE", "Arms", "arms_of"]

Floats = npt.NDArray[np.float64]
ORACLE, FREE = "oracle", "LinTS"
KEPT_TAIL, KEPT_NEW = "LinTS, tail kept", "LinTS, new kept"
N_DECILES = 10  # of items by clicks of the first day; the first of them is the head
BANDITS = {
    "epsilon-greedy": BanditDials(rule="greedy", epsilon=0.05),
    "LinUCB": BanditDials(rule="ucb", scale=0.3),
    FREE: BanditDials(rule="thompson", scale=0.3),
    "neural-linear": BanditDials(rule="thompson", scale=0.3, neural=True),
}


class _Chosen(DrawnPolicy):
    """A candidate policy, served as it was judged."""

    def __init__(self, log: PolicyLog, chances: Chances) -> None:
        super().__init__(log.retrieval(), seed=log.seed)
        self._log, self._chances = log, chances

    def observe(self, feedback: Feedback) -> None:
        super().observe(feedback)
        self._log.learnt.context.meet(feedback.new_items)  # it must know what it scores

    def chances(self, asked: Asked, pool: Pool) -> Floats:
        return self._chances(asked, pool)


def arms_of(
    log: PolicyLog,
    chosen: Mapping[str, Chances],
    *,
    least_tail: float,
    least_new: float,
    window_h: float = 0.25,
) -> dict[str, Callable[[], Policy]]:
    """What serves the third day: today's greedy towers, a choice, bandits, and who knows the truth.

    Args:
        log: with the towers.
        chosen: candidate policies by name, such as the choice of the log.
        least_tail: share of slots for items outside the head, a floor for one of the bandits.
        least_new: share of slots for items born since the towers were trained, for another one.
        window_h: for which bandits wait for rewards.
    """

    def bandit(dials: BanditDials, least: float = 0.0, kept: IsProtected | None = None) -> Policy:
        return BanditInWorld(
            WorldContext(log.retrieval()),
            replace(dials, window_h=window_h),
            floor=None if kept is None else ExposureFloor(least=least),
            is_protected=kept,
            learn_from_h=TRAINED_H,
            seed=log.seed,
        )

    def oracle(asked: Asked, pool: Pool) -> Floats:
        users, hours = asked.user_ids[:, None], asked.hours[:, None]
        return log.world.truth(users, pool.item_ids, hours).click_probability

    arms: dict[str, Callable[[], Policy]] = {TODAY: lambda: DrawnPolicy(log.retrieval(), even=0.0)}
    arms |= {name: (lambda c=c: _Chosen(log, c)) for name, c in chosen.items()}  # type: ignore[misc]  # a default binds the loop's name
    arms |= {name: (lambda d=d: bandit(d)) for name, d in BANDITS.items()}  # type: ignore[misc]  # a default binds the loop's name
    deciles = _deciles(log)
    arms[KEPT_TAIL] = lambda: bandit(BANDITS[FREE], least_tail, lambda ids: deciles[ids] != 1)
    arms[KEPT_NEW] = lambda: bandit(BANDITS[FREE], least_new, lambda ids: deciles[ids] == 0)
    arms[ORACLE] = lambda: DrawnPolicy(log.retrieval(), scores=oracle, even=0.0)
    return arms


@dataclass(frozen=True, slots=True, eq=False)
class Arms:
    """What each arm showed on the third day, and what came of it; all simulated."""

    log: PolicyLog
    shown: dict[str, Shown]

    @classmethod
    def run(
        cls,
        log: PolicyLog,
        arms: Mapping[str, Callable[[], Policy]],
        *,
        on_arm: Callable[[str], None] = lambda _: None,
    ) -> "Arms":
        """One world an arm; the first two days are those of the log in each."""
        found = {}
        for name, make in arms.items():
            policy = Switched(
                UniformPolicy(seed=log.seed), (TRAINED_H, log.logging), (LOGGED_H, make)
            )
            shown = run(log.world, policy, tick_s=log.tick_s, until_h=END_H)
            found[name] = _since(shown, LOGGED_H)
            on_arm(name)
        return cls(log, found)

    def table(self) -> pl.DataFrame:
        """CTR of each arm and its difference to today's, tail exposure likewise; paired by user."""
        rows = []
        for name, shown in self.shown.items():
            clicks, tail = self.difference(name, TODAY), self.tail_difference(name, TODAY)
            rows.append(
                {
                    "arm": name,
                    "ctr": float(shown.clicked.mean()),
                    "ctr_difference": clicks.value,
                    "ctr_low": clicks.low,
                    "ctr_high": clicks.high,
                    "tail": float(self._tail(shown).mean()),
                    "tail_difference": tail.value,
                    "tail_low": tail.low,
                    "tail_high": tail.high,
                    "new": float((_deciles(self.log)[shown.exposures.item_ids] == 0).mean()),
                    "watch_s": float(shown.watch_s.mean()),
                }
            )
        return pl.DataFrame(rows)

    def difference(self, arm: str, other: str) -> Interval:
        """Of CTR, of the same requests, paired by user."""
        return self._paired(self.shown[arm].clicked, self.shown[other].clicked)

    def tail_difference(self, arm: str, other: str) -> Interval:
        """Of the share of slots for items outside the head, likewise."""
        return self._paired(self._tail(self.shown[arm]), self._tail(self.shown[other]))

    def result(self) -> dict[str, float]:
        """What a run records: CTR of each arm, and whether the bars hold (1) or not (0).

        The learning arm is Thompson sampling: its CTR is to beat today's with an interval above
        zero, and its tail exposure not to fall, both by the lower end of their intervals.
        """
        clicks, tail = self.difference(FREE, TODAY), self.tail_difference(FREE, TODAY)
        ctr = {f"ctr/{arm}": float(shown.clicked.mean()) for arm, shown in self.shown.items()}
        return ctr | {
            "gain": clicks.value,
            "gain_low": clicks.low,
            "gain_high": clicks.high,
            "price_of_tail": -self.difference(KEPT_TAIL, FREE).value,
            "price_of_new": -self.difference(KEPT_NEW, FREE).value,
            "bar_clicks": float(clicks.low > 0),
            "bar_tail": float(tail.low >= 0),
        }

    def regret(self) -> pl.DataFrame:
        """``hour, arm, regret``: expected clicks so far that are lost against the oracle."""
        parts = []
        best = self.shown[ORACLE].truth.click_probability
        for name, shown in self.shown.items():
            lost = np.cumsum(best - shown.truth.click_probability)
            hours = shown.exposures.hours
            ends = np.searchsorted(hours, np.arange(LOGGED_H, END_H) + 1, side="right")
            ends = ends[ends > 0]
            parts.append(
                pl.DataFrame({"hour": hours[ends - 1], "arm": name, "regret": lost[ends - 1]})
            )
        return pl.concat(parts)

    def exposure(self) -> pl.DataFrame:
        """``decile, arm, share`` of what was shown; decile 1 has the most clicks of the first day.

        Items that were born later are in no decile, and called new (0).
        """
        decile = _deciles(self.log)
        parts = []
        for name, shown in self.shown.items():
            counts = np.bincount(decile[shown.exposures.item_ids], minlength=N_DECILES + 1)
            share = counts / counts.sum()
            parts.append(
                pl.DataFrame({"decile": np.arange(N_DECILES + 1), "arm": name, "share": share})
            )
        return pl.concat(parts)

    def _paired(self, one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> Interval:
        """Mean difference a request; users with many requests weigh more, as in the mean."""
        users = self.shown[TODAY].exposures.user_ids
        n_users = len(np.unique(users))
        sums = np.bincount(users, one.astype(np.float64) - other.astype(np.float64))
        counts = np.bincount(users)
        by_user = sums[counts > 0] * n_users / len(users)
        return bootstrap_mean(by_user)

    def _tail(self, shown: Shown) -> npt.NDArray[np.bool_]:
        tail: npt.NDArray[np.bool_] = _deciles(self.log)[shown.exposures.item_ids] != 1
        return tail


def _deciles(log: PolicyLog) -> npt.NDArray[np.int64]:
    """(I,) 1 to 10 by clicks of the first day, 0 for items born later."""
    born = log.world.items.born_h < TRAINED_H
    exposures = log.shown.exposures
    first_day = (exposures.hours < TRAINED_H) & log.shown.clicked
    clicks = np.bincount(exposures.item_ids[first_day], minlength=len(born))
    shown = np.bincount(exposures.item_ids[exposures.hours < TRAINED_H], minlength=len(born)) > 0
    decile = np.where(born, N_DECILES, 0)
    known = np.flatnonzero(born & shown)
    order = known[np.argsort(-clicks[known], kind="stable")]
    decile[order] = 1 + np.arange(len(order)) * N_DECILES // max(1, len(order))
    return decile


def _since(shown: Shown, hour: float) -> Shown:
    first = int(np.searchsorted(shown.exposures.hours, hour))
    which = np.arange(first, len(shown))
    truth = type(shown.truth)(
        shown.truth.click_probability[which], shown.truth.expected_watch_s[which]
    )
    return Shown(
        shown.exposures.take(which),
        shown.clicked[which],
        shown.watch_s[which],
        shown.known_h[which],
        truth,
        shown.clicks_of_late[which],
    )
