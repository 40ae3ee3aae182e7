"""How much a feature of the item tells, at the instant of a click, about which item it was."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.batch import Engine, collect, features_at
from recbench.features.definitions import DecayedPopularity, WindowFeature

__all__ = ["item_signal"]

PAIR, IS_CLICKED = "pair", "is_clicked"
NORMAL_95 = 1.96


def item_signal(
    events: pl.DataFrame,
    features: Sequence[WindowFeature | DecayedPopularity],
    *,
    n_pairs: int = 2_000,
    warm_up: float = 0.5,
    seed: int = 0,
    engine: Engine = "cpu",
) -> pl.DataFrame:
    """The chance that the clicked item had the higher value than another item, a row a feature.

    Each of ``n_pairs`` clicks, drawn from those after the first ``warm_up`` of the log, is paired
    with an item drawn evenly from those of the log; both values are as of the click's instant.
    Equal values count one half, so a feature that tells nothing has 0.5; a null counts as 0. A
    quick look at one feature on drawn pairs, no substitute for a full ranking.

    Args:
        events: canonical, at least two items.
        features: of items.
        n_pairs: how many clicks; fewer where the log has fewer.
        warm_up: share of the events whose clicks are left out, in [0, 1): windows fill first.
        seed: of the draws.
        engine: computes the features.

    Returns:
        ``feature``, ``signal``, ``low``, ``high`` (95 %, by users: their clicks are not
        independent) and ``filled_frac``, the share of clicks whose feature is above 0.

    Raises:
        InputError: a feature is not of items, or there is no click or no other item to draw.
    """
    for feature in features:
        if feature.entity != c.ITEM_ID:
            raise InputError(f"{feature.name} is a feature of `{feature.entity}`, not of items")
    clicks = _clicks(events, n_pairs=n_pairs, warm_up=warm_up, seed=seed)
    pairs = _with_others(clicks, np.unique(events[c.ITEM_ID].to_numpy()), seed=seed)
    values = collect(
        features_at(events.lazy(), pairs.lazy(), features, engine=engine), engine=engine
    )
    return pl.DataFrame([_signal(values, feature.name) for feature in features])


def _clicks(events: pl.DataFrame, *, n_pairs: int, warm_up: float, seed: int) -> pl.DataFrame:
    ordered = events.sort(c.TS, maintain_order=True)
    late = ordered.slice(int(len(ordered) * warm_up))
    clicked = late.filter(pl.col(c.CLICKED)) if c.CLICKED in events.columns else late
    if not len(clicked):
        raise InputError(f"No click after the first {warm_up:.0%} of {len(events)} events")
    drawn = clicked.sample(min(n_pairs, len(clicked)), seed=seed)
    return drawn.select(c.USER_ID, c.ITEM_ID, c.TS).with_row_index(PAIR)


def _with_others(clicks: pl.DataFrame, items: np.ndarray, *, seed: int) -> pl.DataFrame:
    """The clicks, then for each another item, never the clicked one."""
    if len(items) < 2:
        raise InputError(f"There is no other item to compare with: the log has {len(items)}")
    at = np.searchsorted(items, clicks[c.ITEM_ID].to_numpy())
    step = np.random.default_rng(seed).integers(1, len(items), len(clicks))
    others = clicks.with_columns(pl.Series(c.ITEM_ID, items[(at + step) % len(items)]))
    return pl.concat(
        [
            clicks.with_columns(pl.lit(True).alias(IS_CLICKED)),
            others.with_columns(pl.lit(False).alias(IS_CLICKED)),
        ]
    )


def _signal(values: pl.DataFrame, name: str) -> dict[str, float | str]:
    value = pl.col(name).fill_null(0)
    mine = values.filter(pl.col(IS_CLICKED)).select(PAIR, c.USER_ID, value.alias("mine"))
    other = values.filter(~pl.col(IS_CLICKED)).select(PAIR, value.alias("other"))
    won = mine.join(other, on=PAIR).with_columns(
        ((pl.col("mine") > pl.col("other")) + 0.5 * (pl.col("mine") == pl.col("other"))).alias(
            "won"
        )
    )
    signal = float(won["won"].to_numpy().mean())
    by_user = won.group_by(c.USER_ID).agg((pl.col("won") - signal).sum())["won"].to_numpy()
    margin = NORMAL_95 * float(np.sqrt((by_user**2).sum())) / len(won)
    return {
        "feature": name,
        "signal": signal,
        "low": signal - margin,
        "high": signal + margin,
        "filled_frac": float((won["mine"] > 0).to_numpy().mean()),
    }
