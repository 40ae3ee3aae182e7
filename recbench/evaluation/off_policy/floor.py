"""What a floor under the exposure of some items costs, from what was served with it.

A service that keeps a floor logs of each slot, beside the item's chance, its chance had there been
no floor (``without_floor``) and whether the floor is for it (``protected``). So one log tells of
both: reward and share of protected items with the floor, and without.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.off_policy.feedback import TargetPolicy
from recbench.evaluation.off_policy.log import (
    REWARD,
    ExposureLog,
    read_exposures,
    target_policy,
)
from recbench.evaluation.off_policy.report import Comparison, compare
from recbench.evaluation.off_policy.reward import Reward
from recbench.evaluation.off_policy.weighted import snips

__all__ = ["FloorPrice", "floor_price"]

WITH, WITHOUT = "with the floor", "without"
MOST_BOUND = 0.8  # share of slots that cannot be told; beyond it, too much rests on too few
KEY = [c.REQUEST_ID, c.POSITION]


@dataclass(frozen=True, slots=True)
class FloorPrice:
    """Both policies by reward and by the share of protected items; SNIPS, paired by request."""

    reward: Comparison
    share: Comparison
    n_slots: int  # that the estimates speak of
    n_bound: int  # left out: the floor bound chance, which could not have shown everything
    reasons: tuple[str, ...]  # why nothing can be told; empty if it can

    @property
    def lost(self) -> float | None:
        """Reward a slot that the floor costs; negative if it gains."""
        return None if self.reasons else _difference(self.reward)

    @property
    def gained_share(self) -> float | None:
        """Of slots that protected items have by the floor."""
        found = None if self.reasons else _difference(self.share)
        return None if found is None else -found

    def to_json(self) -> dict[str, Any]:
        """All of it by name."""
        own = ("lost", "gained_share", "n_slots", "n_bound", "reasons")
        parts = {"reward": self.reward.rows(), "share": self.share.rows()}
        return {name: getattr(self, name) for name in own} | parts


def floor_price(
    exposures: pl.DataFrame,
    reward: Reward,
    *,
    least_propensity: float | None = None,
    seed: int = 0,
) -> FloorPrice:
    """The price of a floor that a service kept, slot by slot, below what stands above.

    Requests whose chance was bound to protected items are left out: whether it was hangs on the
    share shown so far, not on the request. Chance itself is as it was in both.

    Args:
        exposures: joined with actions, with ``without_floor`` and ``protected`` as columns or
            within ``extra``.
        reward: in [0, 1].
        least_propensity: what the logging policy promised.
        seed: of the bootstrap.

    Raises:
        InputError: no floor was kept, chance was bound in every slot, or as ``read_exposures``.
    """
    by_chance = _with_floor(exposures).filter(pl.col(c.PROPENSITY).is_not_null())
    told = by_chance.filter(pl.col(c.WITHOUT_FLOOR).is_not_null())
    n_bound = len(by_chance) - len(told)
    if not len(told):
        raise InputError(
            f"None of {len(by_chance)} slots of chance tells what there would be without the "
            "floor: chance was bound to protected items, or there was none (--decide epsilon=...)"
        )
    log = read_exposures(told, reward, least_propensity=least_propensity)
    otherwise = told.select(*KEY, c.ITEM_ID, pl.col(c.WITHOUT_FLOOR).alias(c.PROPENSITY))
    policies = {
        WITH: TargetPolicy(propensities=log.feedback.propensities),
        WITHOUT: target_policy(log, otherwise, name=WITHOUT, partial=True),
    }
    by_reward, by_share = (
        compare(
            feedback,
            policies,
            {"snips": snips},
            baseline=WITH,
            missing_reward_frac=log.missing_reward_frac,
            seed=seed,
        )
        for feedback in (log.feedback, replace(log.feedback, rewards=_protected(log, told)))
    )
    reasons = [reason for verdict in by_reward.verdicts for reason in verdict.reasons]
    if n_bound > MOST_BOUND * len(by_chance):
        reasons.append(f"the floor bound chance in {n_bound / len(by_chance):.0%} of the slots")
    return FloorPrice(by_reward, by_share, len(log.feedback), n_bound, tuple(reasons))


def _with_floor(exposures: pl.DataFrame) -> pl.DataFrame:
    """With both columns, as they are or out of ``extra``."""
    found = exposures
    for name, dtype in ((c.WITHOUT_FLOOR, pl.Float64), (c.PROTECTED, pl.Boolean)):
        if name in found.columns:
            continue
        if c.EXTRA not in found.columns:
            raise InputError(
                f"These exposures have no column `{name}`: what a floor costs is told by a log "
                "that was served with `--policy` or `--decide`, and `--floor`"
            )
        text = pl.col(c.EXTRA).str.json_path_match(f"$.{name}")
        value = text == "true" if dtype == pl.Boolean else text.cast(pl.Float64, strict=False)
        found = found.with_columns(value.alias(name))
    return found


def _protected(log: ExposureLog, told: pl.DataFrame) -> npt.NDArray[np.float64]:
    """(N,) one where a slot of the feedback shows a protected item."""
    slots = log.slots.drop_nulls(REWARD).select(KEY)
    found = slots.join(told.select(*KEY, c.PROTECTED), on=KEY, how="left", maintain_order="left")
    return found[c.PROTECTED].cast(pl.Float64).to_numpy()


def _difference(found: Comparison) -> float | None:
    """Without the floor less with it."""
    (difference,) = (v.difference for v in found.verdicts if v.policy == WITHOUT)
    return None if difference is None else difference.bootstrap.value
