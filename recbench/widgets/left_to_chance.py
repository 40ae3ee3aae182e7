"""What a service that explores would leave to chance in one list: which slots, whom, how likely."""

from typing import NamedTuple

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.policy.exploration import ExplorationBudget, LeftToChance, left_to_chance
from recbench.widgets.asked import Asked
from recbench.widgets.recommendations import explained

__all__ = ["ByChance", "by_chance"]


class ByChance(NamedTuple):
    """One request's list under an exploration budget."""

    finding: str  # in one sentence
    slots: pl.DataFrame  # of the list, from the top
    candidates: pl.DataFrame  # for the slots of chance, the likeliest first


def by_chance(asked: Asked, budget: ExplorationBudget, *, k: int = 20) -> ByChance:
    """How ``recbench serve --explore`` makes the list of k in the requests that it takes.

    A propensity is the chance to stand in a slot whatever stands in the others, as the service logs
    it.

    Args:
        asked: the request.
        budget: what is left to chance.
        k: list length; shorter where the catalogue runs out.

    Returns:
        ``slots``: ``slot``, ``filled by`` (``rule`` or ``chance``), ``item_id``, ``title`` where
        the release has titles (null where chance decides), ``may stand there`` (number of items),
        ``least propensity`` and ``largest propensity`` among those (null where the rule decides).
        ``candidates``: ``rank`` as retrieved, ``item_id``, ``title``, ``score``, and
        ``in slot 2`` and so on, its propensity there.
    """
    retrieved = explained(asked, k=budget.n_retrieved(k))
    left = left_to_chance(retrieved[c.SCORE].to_numpy(), k, budget)
    named = [name for name in (c.ITEM_ID, c.TITLE) if name in retrieved.columns]
    slots = _slots(retrieved.select(named), left, k=min(k, len(retrieved)))
    columns = {f"in slot {slot + 1}": left.chances[:, at] for at, slot in enumerate(left.slots)}
    # a higher score is a higher chance in the first slot: the order of the list is that of chances
    candidates = retrieved[left.places].select(c.RANK, *named, c.SCORE).with_columns(**columns)
    return ByChance(_finding(left, budget), slots, candidates)


def _slots(retrieved: pl.DataFrame, left: LeftToChance, *, k: int) -> pl.DataFrame:
    drawn = np.isin(np.arange(k), left.slots)
    # the best ones stand around the slots of chance, in their order
    ruled = retrieved[np.maximum(np.cumsum(~drawn) - 1, 0)]
    lowest, highest = np.full(k, np.nan), np.full(k, np.nan)
    if len(left.slots):
        lowest[left.slots], highest[left.slots] = left.chances.min(axis=0), left.chances.max(axis=0)
    return pl.DataFrame(
        {
            "slot": np.arange(1, k + 1),
            "filled by": np.where(drawn, "chance", "rule"),
            **{name: ruled[name] for name in ruled.columns},
            "may stand there": np.where(drawn, len(left.places), 1),
            "least propensity": pl.Series(lowest, nan_to_null=True),
            "largest propensity": pl.Series(highest, nan_to_null=True),
        }
    ).with_columns(
        pl.when(pl.col("filled by") == "rule").then(name).alias(name) for name in ruled.columns
    )


def _finding(left: LeftToChance, budget: ExplorationBudget) -> str:
    numbers = " and ".join(str(slot + 1) for slot in left.slots.tolist())
    if not numbers:
        return "Nothing is left to chance here: below the list no items are left to draw from."
    slots = "slot" if len(left.slots) == 1 else "slots"
    share = f"{100 * budget.traffic_frac:.3g} %"
    return (
        f"In {share} of requests chance fills {slots} {numbers} from {len(left.places)} items, and "
        "the rule the others; else the list is as above."
    )
