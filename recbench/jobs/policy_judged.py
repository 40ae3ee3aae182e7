"""Candidate policies by a log of chance, beside their true values, and the choice among them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.datasets.world.protocol import Asked
from recbench.evaluation.off_policy import Feedback, TargetPolicy, compare, doubly_robust, snips
from recbench.evaluation.off_policy.report import Comparison
from recbench.jobs.policy_log import Judged, PolicyLog
from recbench.policy.world.drawn import softened
from recbench.policy.world.retrieval import Pool

__all__ = ["TODAY", "JudgedPolicies", "candidate_policies"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Chances = Callable[[Asked, Pool], Floats]  # (R, C)
TODAY, LOGGED, LEARNT = "towers, greedy", "as logged", "learnt, greedy"
ESTIMATOR = "dr"  # that chooses
EVEN = 0.05  # the share of a greedy candidate's chances that all have alike


def candidate_policies(log: PolicyLog) -> dict[str, Chances]:
    """What might be served instead, each a distribution over the towers' candidates."""

    def learnt(asked: Asked, pool: Pool) -> Floats:
        return softened(log.learnt.scores(asked, pool), temperature=0.0, even=EVEN)

    def newest(asked: Asked, pool: Pool) -> Floats:
        return softened(pool.item_ids.astype(np.float64), temperature=0.0, even=EVEN)

    def towers(temperature: float, even: float) -> Chances:
        return lambda _, pool: softened(pool.scores, temperature=temperature, even=even)

    return {
        LOGGED: towers(log.temperature, log.even),
        TODAY: towers(0.0, EVEN),
        "towers, softly": towers(0.5 * log.temperature, EVEN),
        "anything": towers(1.0, 1.0),
        "newest": newest,
        LEARNT: learnt,
    }


@dataclass(frozen=True, slots=True, eq=False)
class JudgedPolicies:
    """Estimates of candidate policies, and what is true of them in the world."""

    comparison: Comparison
    truths: dict[str, float]  # mean click probability of what each would have shown

    @classmethod
    def of(
        cls, log: PolicyLog, policies: Mapping[str, Chances], *, baseline: str = TODAY
    ) -> "JudgedPolicies":
        """By the second half of the log; the reward model of DR was fitted to the first.

        Args:
            log: with known chances of all candidates, so that support is known, too.
            policies: by name.
            baseline: of the differences.
        """
        requests = np.concatenate([tick.asked.request_ids for tick in log.judged])
        exposures = log.shown.exposures
        at = np.searchsorted(exposures.request_ids, requests)
        most = max(tick.pool.item_ids.shape[1] for tick in log.judged)
        feedback = Feedback(
            rewards=log.shown.clicked[at].astype(np.float64),
            propensities=exposures.propensities[at],
            units=exposures.user_ids[at],
            least_propensity=log.even / most,
        )
        ends = np.cumsum([len(tick.asked) for tick in log.judged])[:-1]
        shown = np.split(exposures.item_ids[at], ends)
        targets, truths = {}, {}
        for name, chances_of in policies.items():
            parts, earned = [], []
            for tick, items in zip(log.judged, shown, strict=True):
                chances = chances_of(tick.asked, tick.pool)
                parts.append(_target(log, tick, items, chances))
                earned.append((chances * _true(log, tick)).sum(axis=1))
            targets[name], truths[name] = _joined(parts), float(np.concatenate(earned).mean())
        found = compare(feedback, targets, {"snips": snips, "dr": doubly_robust}, baseline=baseline)
        return cls(found, truths)

    def table(self) -> pl.DataFrame:
        """A row a policy and estimator, with the truth."""
        rows = [row | {"truth": self.truths[row["policy"]]} for row in self.comparison.rows()]
        return pl.DataFrame(rows, infer_schema_length=None)

    @property
    def choice(self) -> str:
        """The largest difference to the baseline with an interval above zero; else the baseline."""
        best, most = self.comparison.baseline, 0.0
        for verdict in self.comparison.verdicts:
            difference = verdict.difference
            if verdict.estimator != ESTIMATOR or difference is None:
                continue
            if difference.bootstrap.low > 0 and difference.bootstrap.value > most:
                best, most = verdict.policy, difference.bootstrap.value
        return best


def _target(log: PolicyLog, tick: Judged, items: Ints, chances: Floats) -> TargetPolicy:
    """Of one tick, whose requests were shown ``items`` (R,)."""
    place = np.argmax(tick.pool.item_ids == items[:, None], axis=1)
    return TargetPolicy.of_dense(
        chances, place, expected=_expected(log, tick), logging=tick.chances
    )


def _joined(parts: list[TargetPolicy]) -> TargetPolicy:
    names = ("propensities", "expected_logged", "expected", "supported")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return TargetPolicy(**columns)


def _expected(log: PolicyLog, tick: Judged) -> Floats:
    """(R, C) by what was learnt from the first half."""
    return np.clip(log.learnt.scores(tick.asked, tick.pool), 0.0, 1.0)


def _true(log: PolicyLog, tick: Judged) -> Floats:
    asked = tick.asked
    truth = log.world.truth(asked.user_ids[:, None], tick.pool.item_ids, asked.hours[:, None])
    return truth.click_probability
