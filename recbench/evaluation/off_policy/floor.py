"""What a floor under the exposure of some items costs, from what was served with it.

A service makes a declared share of its lists as if there were no floor, by chance and request by
request. So one log tells of both, whole lists each: reward a slot and the share of protected items.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.off_policy.feedback import Feedback, TargetPolicy
from recbench.evaluation.off_policy.intervals import Bounds
from recbench.evaluation.off_policy.report import Comparison, compare
from recbench.evaluation.off_policy.reward import Reward
from recbench.evaluation.off_policy.weighted import snips

__all__ = ["FloorPrice", "floor_price"]

WITH, WITHOUT = "with the floor", "without"
COLUMNS = {c.FLOOR_KEPT: pl.Boolean(), c.FLOOR_CHANCE: pl.Float64(), c.PROTECTED: pl.Boolean()}
REWARD = "_reward"


@dataclass(frozen=True, slots=True)
class FloorPrice:
    """Lists with the floor and without, by reward and by the share of protected items."""

    reward: Comparison
    share: Comparison

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why nothing can be told; empty if it can."""
        return tuple(reason for verdict in self.reward.verdicts for reason in verdict.reasons)

    @property
    def lost(self) -> Bounds | None:
        """Reward a slot that the floor costs; below zero if it gains."""
        return _less_with(self.reward)

    @property
    def gained_share(self) -> Bounds | None:
        """Of slots that protected items have by the floor."""
        found = _less_with(self.share)
        return None if found is None else Bounds(-found.value, -found.high, -found.low)

    def to_json(self) -> dict[str, Any]:
        """All of it by name."""
        told = {"lost": self.lost, "gained_share": self.gained_share}
        values = {name: None if b is None else asdict(b) for name, b in told.items()}
        parts = {"reward": self.reward.rows(), "share": self.share.rows()}
        return values | {"reasons": list(self.reasons)} | parts


def floor_price(exposures: pl.DataFrame, reward: Reward, *, seed: int = 0) -> FloorPrice:
    """What a floor costs that a service kept but for a share of its requests, a slot.

    A list counts by the mean of its slots. Both kinds are weighed by their chances, with the
    intervals, the diagnostics and the limits of every off-policy estimate. Exposures of lists that
    were not decided under a floor are left out. As lists without it count for the kept share, too,
    the others make up for them: what is told is the price at this share of free ones.

    Args:
        exposures: joined with actions, with ``floor_kept``, ``floor_chance`` and ``protected`` as
            columns or within ``extra``.
        reward: in [0, 1].
        seed: of the bootstrap.

    Raises:
        InputError: there was no floor, or no list was free of it.
    """
    slots = _with_floor(exposures).with_columns(reward.of(exposures).alias(REWARD))
    slots = slots.filter(pl.col(c.FLOOR_KEPT).is_not_null())
    for name, is_kept in ((WITH, True), (WITHOUT, False)):
        if not (slots[c.FLOOR_KEPT] == is_kept).any():
            raise InputError(
                f"None of {len(slots)} slots was made {name}: a share of the requests must be free "
                "of the floor, such as by `recbench serve --floor tail=0.3,free=0.05`"
            )
    lists = _lists(slots)
    kept = lists[c.FLOOR_KEPT].cast(pl.Float64).to_numpy()
    feedback = Feedback.of_rounds(lists[REWARD].to_numpy(), lists[c.FLOOR_CHANCE].to_numpy())
    policies = {
        WITH: TargetPolicy(propensities=kept),
        WITHOUT: TargetPolicy(propensities=1 - kept),
    }
    protected = replace(feedback, rewards=lists[c.PROTECTED].to_numpy())
    return FloorPrice(
        *(
            compare(
                one,
                policies,
                {"snips": snips},
                baseline=WITH,
                missing_reward_frac=slots[REWARD].null_count() / len(slots),
                seed=seed,
            )
            for one in (feedback, protected)
        )
    )


def _with_floor(exposures: pl.DataFrame) -> pl.DataFrame:
    """With all columns, as they are or out of ``extra``."""
    found = exposures
    for name, dtype in COLUMNS.items():
        if name in found.columns:
            continue
        if c.EXTRA not in found.columns:
            raise InputError(
                f"These exposures have no column `{name}`: what a floor costs is told by what was "
                "served with one, such as by `recbench serve --floor tail=0.3,free=0.05`"
            )
        text = pl.col(c.EXTRA).str.json_path_match(f"$.{name}")
        value = text == "true" if dtype == pl.Boolean() else text.cast(dtype, strict=False)
        found = found.with_columns(value.alias(name))
    return found


def _lists(slots: pl.DataFrame) -> pl.DataFrame:
    """A row a request with means of its slots whose reward is known."""
    by_request = slots.filter(pl.col(REWARD).is_not_null()).group_by(
        c.REQUEST_ID, maintain_order=True
    )
    return by_request.agg(
        pl.col(c.FLOOR_KEPT, c.FLOOR_CHANCE).first(),
        pl.col(REWARD).mean(),
        pl.col(c.PROTECTED).cast(pl.Float64).mean(),
    )


def _less_with(found: Comparison) -> Bounds | None:
    """Without the floor less with it; None where it cannot be told."""
    (difference,) = (v.difference for v in found.verdicts if v.policy == WITHOUT)
    return None if difference is None else difference.bootstrap
