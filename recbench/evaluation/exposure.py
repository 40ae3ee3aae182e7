"""What a set of lists does to the catalogue: coverage, novelty, concentration.

The catalogue has ``n_items`` items; every recommended one is among them.
"""

import numpy as np
import polars as pl

from recbench import columns as c

__all__ = ["coverage", "exposure_gini", "novelty"]


def coverage(recommendations: pl.DataFrame, *, n_items: int) -> float:
    """The share of the catalogue that is in any list, in [0, 1]."""
    return recommendations[c.ITEM_ID].n_unique() / n_items


def novelty(recommendations: pl.DataFrame, train: pl.DataFrame, *, n_items: int) -> float:
    """Mean surprise of a recommended item in bits: ``-log2`` of its share of the train clicks.

    Shares are smoothed by one click an item, so that an item without clicks is finite.
    """
    clicks = train.group_by(c.ITEM_ID).len()
    joined = recommendations.join(clicks, on=c.ITEM_ID, how="left")
    share = (joined["len"].fill_null(0).to_numpy() + 1) / (len(train) + n_items)
    return float(-np.log2(share).mean())


def exposure_gini(recommendations: pl.DataFrame, *, n_items: int) -> float:
    """Gini coefficient of how often each item is shown: 0 all alike, near 1 one item only."""
    shown = recommendations.group_by(c.ITEM_ID).len()["len"].to_numpy()
    counts = np.sort(np.concatenate([np.zeros(n_items - len(shown)), shown]))
    ranks = np.arange(1, n_items + 1)
    return float((2 * ranks - n_items - 1) @ counts / (n_items * counts.sum()))
