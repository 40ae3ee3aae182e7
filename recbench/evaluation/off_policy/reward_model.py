"""A plain reward model, fitted to other requests than those it is asked about.

The expected reward of an item at a position is the position's mean times the item's factor: what it
earned over what its positions earn on average, shrunk towards one.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c

__all__ = ["expected_rewards"]

Floats = npt.NDArray[np.float64]
N_FOLDS = 2
PRIOR = 2.0  # expected rewards that an item needs before half of its factor is its own
FOLD, BASE, FACTOR, EXPECTED, REWARD = "_fold", "_base", "_factor", "_expected", "reward"


def expected_rewards(
    rows: pl.DataFrame, chances: pl.DataFrame, *, key: list[str], chance: str, seed: int = 0
) -> tuple[Floats, Floats]:
    """(N,) the model's reward of what was logged, and (N,) its mean under a policy.

    Args:
        rows: ``request_id, position, item_id, reward`` of the log, no null among them.
        chances: the policy: ``key``, ``item_id``, and the column ``chance``.
        key: ``request_id``, and ``position`` where the policy has one.
        chance: the name of its column.
        seed: of the folds, which are drawn by request.
    """
    rows = rows.with_columns(pl.col(c.REQUEST_ID).hash(seed).mod(N_FOLDS).alias(FOLD))
    logged = np.empty(len(rows))
    mean = np.empty(len(rows))
    for fold in range(N_FOLDS):
        asked = (rows[FOLD] == fold).to_numpy()
        if not asked.any():
            continue
        others = rows.filter(pl.col(FOLD) != fold) if not asked.all() else rows
        base, factors = _fitted(others)
        asking = _with_base(rows.filter(asked), base, default=float(others[REWARD].mean() or 0))  # type: ignore[arg-type]  # a numeric column
        own = asking.join(factors, on=c.ITEM_ID, how="left", maintain_order="left")
        logged[asked] = _product(own)
        by_policy = chances.join(factors, on=c.ITEM_ID, how="left").with_columns(
            (pl.col(chance) * pl.col(FACTOR).fill_null(1.0)).alias(FACTOR)
        )
        summed = by_policy.group_by(key).agg(pl.col(FACTOR).sum())
        mean[asked] = _product(asking.join(summed, on=key, how="left", maintain_order="left"))
    return logged, mean


def _fitted(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Mean reward by position, and each item's factor."""
    base = rows.group_by(c.POSITION).agg(pl.col(REWARD).mean().alias(BASE))
    usual = rows.join(base, on=c.POSITION).group_by(c.ITEM_ID).agg(pl.col(REWARD, BASE).sum())
    factor = (pl.col(REWARD) + PRIOR) / (pl.col(BASE) + PRIOR)
    return base, usual.select(c.ITEM_ID, factor.alias(FACTOR))


def _with_base(rows: pl.DataFrame, base: pl.DataFrame, *, default: float) -> pl.DataFrame:
    found = rows.join(base, on=c.POSITION, how="left", maintain_order="left")
    return found.with_columns(pl.col(BASE).fill_null(default))


def _product(rows: pl.DataFrame) -> Floats:
    """Within [0, 1], as rewards are."""
    product = pl.col(BASE) * pl.col(FACTOR).fill_null(1.0)
    return rows.select(product.clip(0.0, 1.0).alias(EXPECTED))[EXPECTED].to_numpy()
