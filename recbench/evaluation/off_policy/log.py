"""Exposures as a log that estimates can be made of: what chance showed, and what came of it.

A propensity is the chance of an item at its position given the items above it. Where chance fills
several slots of a request, a slot's weight is that of all of them down to it, as for users who read
downwards: estimates are then `interaction_ips` and `cascade_doubly_robust`, by slot.
"""

from dataclasses import dataclass

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.off_policy.feedback import Feedback, TargetPolicy
from recbench.evaluation.off_policy.reward import Reward
from recbench.evaluation.off_policy.reward_model import expected_rewards

__all__ = ["ExposureLog", "logged_policy", "read_exposures", "target_policy"]

KEY = [c.REQUEST_ID, c.POSITION]
SUM_ERROR = 1e-6
REWARD, TARGET, TOGETHER, ABOVE = "reward", "_target", "_together", "_above"


@dataclass(frozen=True, slots=True, eq=False)
class ExposureLog:
    """The slots that chance filled, with their rewards; and what was left out."""

    slots: pl.DataFrame  # request_id, position, item_id, propensity, reward or null; by request
    feedback: Feedback  # of the slots with a reward; a unit is a request
    most_slots: int  # of one request
    n_by_rule: int  # slots without a propensity: nobody can say what else might have been there
    n_certain: int  # slots with a propensity of one
    n_missing_rewards: int  # left out, as their reward never came

    @property
    def missing_reward_frac(self) -> float:
        """Of the slots that chance filled."""
        return self.n_missing_rewards / len(self.slots)

    def warnings(self) -> list[str]:
        """What whoever reads the estimates must know."""
        found = []
        if self.n_by_rule:
            found.append(
                f"{self.n_by_rule} slots were filled by rule and are left out: estimates speak of "
                f"the {len(self.slots)} others"
            )
        if self.n_certain:
            found.append(
                f"{self.n_certain} slots have a propensity of 1: they tell of no other item"
            )
        if self.n_missing_rewards:
            found.append(f"{self.n_missing_rewards} rewards never came")
        return found


def read_exposures(
    exposures: pl.DataFrame, reward: Reward, *, least_propensity: float | None = None
) -> ExposureLog:
    """The log of joined exposures (`recbench join`), or of any frame of their form.

    Args:
        exposures: ``request_id, position, item_id, propensity``, and what the reward is made of.
        reward: in [0, 1].
        least_propensity: what the logging policy promises of every slot that chance fills.

    Raises:
        InputError: a column is missing; a slot is there twice; a propensity is no chance, or below
            what is promised; chance filled no slot; or no reward came at all.
    """
    missing = [name for name in (*KEY, c.ITEM_ID, c.PROPENSITY) if name not in exposures.columns]
    if missing:
        raise InputError(f"Exposures need the columns {missing}, got {exposures.columns}")
    shown = exposures.select(*KEY, c.ITEM_ID, c.PROPENSITY, reward.of(exposures).alias(REWARD))
    slots = shown.filter(pl.col(c.PROPENSITY).is_not_null()).sort(KEY)
    if not len(slots):
        raise InputError(
            f"None of {len(shown)} slots has a propensity: nothing was left to chance, so no other "
            "policy can be judged. Serve with --explore"
        )
    _check(slots, least=least_propensity or 0.0)
    if not slots[REWARD].sum():
        raise InputError(
            f"No reward came for any of {len(slots)} slots: join actions to them first "
            "(`recbench join`), or choose another --reward"
        )
    most_slots = int(slots.group_by(c.REQUEST_ID).len()["len"].max())  # type: ignore[arg-type]  # a numeric column
    known = slots.with_columns(_down_to_here(c.PROPENSITY).alias(TOGETHER)).drop_nulls(REWARD)
    feedback = Feedback(
        rewards=known[REWARD].to_numpy(),
        propensities=known[TOGETHER].to_numpy(),
        units=known[c.REQUEST_ID].rank("dense").cast(pl.Int64).to_numpy(),
        least_propensity=None if least_propensity is None else least_propensity**most_slots,
    )
    return ExposureLog(
        slots,
        feedback,
        most_slots,
        n_by_rule=len(shown) - len(slots),
        n_certain=int((slots[c.PROPENSITY] == 1).sum()),
        n_missing_rewards=len(slots) - len(known),
    )


def target_policy(
    log: ExposureLog, distribution: pl.DataFrame, *, name: str, partial: bool = False, seed: int = 0
) -> TargetPolicy:
    """What a policy would have shown, at the slots of a log.

    Args:
        log: the slots.
        distribution: ``request_id, item_id, propensity`` and ``position``, which may be absent
            where chance filled one slot a request; all that the policy might show there, given what
            the log shows above. The chances of a slot sum to one.
        name: what messages call the policy.
        partial: the distribution has what was logged only; then nothing is known of its sums, and
            there is no reward model.
        seed: of the folds of the reward model.

    Raises:
        InputError: a column is missing, chances do not sum to one, or a slot is missing.
    """
    key = KEY if c.POSITION in distribution.columns else [c.REQUEST_ID]
    _check_columns(log, distribution, key, name=name)
    chances = distribution.select(*key, c.ITEM_ID, pl.col(c.PROPENSITY).alias(TARGET))
    _check_sums(chances, key, name=name, partial=partial)
    absent = log.slots.join(chances.select(key).unique(), on=key, how="anti")
    if len(absent):
        raise InputError(
            f"The policy {name} says nothing of request {absent[c.REQUEST_ID][0]}, position "
            f"{absent[c.POSITION][0]}, one of {len(absent)} such slots of the log"
        )
    own = log.slots.join(chances, on=[*key, c.ITEM_ID], how="left", maintain_order="left")
    own = own.with_columns(pl.col(TARGET).fill_null(0.0).clip(0.0, 1.0))
    weight = pl.col(TARGET) / pl.col(c.PROPENSITY)
    own = own.with_columns(
        _down_to_here(TARGET).alias(TOGETHER),
        weight.cum_prod().shift(1, fill_value=1.0).over(c.REQUEST_ID).alias(ABOVE),
    )
    asked = own.drop_nulls(REWARD)
    propensities = asked[TOGETHER].to_numpy()
    if partial:
        return TargetPolicy(propensities=propensities)
    logged, mean = expected_rewards(asked, chances, key=key, chance=TARGET, seed=seed)
    return TargetPolicy(
        propensities=propensities, expected_logged=logged, expected=mean * asked[ABOVE].to_numpy()
    )


def logged_policy(log: ExposureLog) -> TargetPolicy:
    """The policy that wrote the log; whatever the estimator, its value is the mean reward."""
    rewards = log.feedback.rewards  # their own best model
    return TargetPolicy(
        propensities=log.feedback.propensities, expected_logged=rewards, expected=rewards
    )


def _down_to_here(chance: str) -> pl.Expr:
    return pl.col(chance).cum_prod().over(c.REQUEST_ID)


def _check(slots: pl.DataFrame, *, least: float) -> None:
    chance = pl.col(c.PROPENSITY)
    bad = slots.filter(chance.is_nan() | (chance <= 0) | (chance > 1))
    if len(bad):
        raise InputError(
            f"A propensity must lie in (0, 1], but {len(bad)} slots have none such: request "
            f"{bad[c.REQUEST_ID][0]}, position {bad[c.POSITION][0]} has {bad[c.PROPENSITY][0]}. A "
            "slot that was filled by rule has null"
        )
    below = slots.filter(chance < least * (1 - SUM_ERROR))
    if len(below):
        raise InputError(
            f"The logging policy promised propensities of {least} or more, but request "
            f"{below[c.REQUEST_ID][0]}, position {below[c.POSITION][0]} has "
            f"{below[c.PROPENSITY][0]}"
        )
    empty = slots.filter(pl.any_horizontal(pl.col(*KEY, c.ITEM_ID).is_null()))
    if len(empty):
        raise InputError(
            f"{len(empty)} slots with a propensity lack a request_id, position or item_id"
        )
    for key, what in ((KEY, c.POSITION), ([c.REQUEST_ID, c.ITEM_ID], c.ITEM_ID)):
        twice = slots.filter(pl.struct(key).is_duplicated())
        if len(twice):
            raise InputError(f"Request {twice[c.REQUEST_ID][0]} has {what} {twice[what][0]} twice")


def _check_columns(
    log: ExposureLog, distribution: pl.DataFrame, key: list[str], *, name: str
) -> None:
    needed = [*key, c.ITEM_ID, c.PROPENSITY]
    missing = [column for column in needed if column not in distribution.columns]
    if missing:
        raise InputError(f"The policy {name} needs the columns {missing}")
    if log.most_slots > 1 and c.POSITION not in key:
        raise InputError(
            f"The policy {name} needs the column `{c.POSITION}`: chance filled up to "
            f"{log.most_slots} slots of a request"
        )


def _check_sums(chances: pl.DataFrame, key: list[str], *, name: str, partial: bool) -> None:
    bad = chances.filter(pl.col(TARGET).is_null() | pl.col(TARGET).is_nan() | (pl.col(TARGET) < 0))
    if len(bad):
        raise InputError(
            f"The policy {name} has the chance {bad[TARGET][0]} for item {bad[c.ITEM_ID][0]} of "
            f"request {bad[c.REQUEST_ID][0]}"
        )
    twice = chances.filter(pl.struct([*key, c.ITEM_ID]).is_duplicated())
    if len(twice):
        raise InputError(
            f"The policy {name} has item {twice[c.ITEM_ID][0]} of request "
            f"{twice[c.REQUEST_ID][0]} twice"
        )
    sums = chances.group_by(key, maintain_order=True).agg(pl.col(TARGET).sum())
    too_much = pl.col(TARGET) > 1 + SUM_ERROR
    wrong = sums.filter(too_much if partial else too_much | (pl.col(TARGET) < 1 - SUM_ERROR))
    if len(wrong):
        raise InputError(
            f"Chances of the policy {name} must sum to 1 for each slot, but those of request "
            f"{wrong[c.REQUEST_ID][0]} sum to {wrong[TARGET][0]:.6g}, one of {len(wrong)} such"
        )
