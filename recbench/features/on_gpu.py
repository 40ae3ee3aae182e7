"""Features as Polars expressions of the few forms that the GPU engine runs.

Those are sums, minima and maxima as ``.rolling().over()``; running sums, shifts and filled gaps
``.over()`` an entity. Lists and counts of distinct values have none, nor have category jumps.
"""

from collections.abc import Iterable, Sequence

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.definitions import (
    DecayedPopularity,
    Feature,
    LastValues,
    SinceLast,
    WindowFeature,
)
from recbench.features.prepared import COUNTS, VALUE, decay_us

__all__ = ["computed", "refuse"]

# Columns that live only inside a query.
ROW, ADDED, HELD, CLICK_TS = "__row", "__added", "__held", "__click_ts"
SPAN, ELAPSED, WEIGHT, BEFORE, CARRIED = "__span", "__elapsed", "__weight", "__before", "__carried"


def refuse(features: Iterable[Feature], *, derived: Sequence[str]) -> None:
    """Raise for what the GPU engine cannot compute.

    Args:
        features: what is asked for.
        derived: the derived values among them that the log does not hold yet.

    Raises:
        InputError: a feature has no form for the GPU.
    """
    for feature in features:
        distinct = isinstance(feature, WindowFeature) and feature.aggregation == "n_unique"
        if distinct or isinstance(feature, LastValues):
            kind = "n_unique" if distinct else "LastValues"
            raise InputError(
                f"{feature.name}: `{kind}` needs `engine='cpu'`, the GPU has no form of it"
            )
    if derived:
        raise InputError(
            f"{list(derived)} cannot be derived on the GPU: add them on the CPU first, with "
            "`derived.with_derived`"
        )


def computed(
    frame: pl.LazyFrame, features: Sequence[Feature], dtypes: Sequence[pl.DataType]
) -> pl.LazyFrame:
    """The frame with one more column a feature, in its order.

    Args:
        frame: with the columns that ``prepared`` made.
        features: what to compute.
        dtypes: of each feature.
    """
    frame = frame.with_row_index(ROW).sort(c.TS, maintain_order=True)
    for feature, dtype in zip(features, dtypes, strict=True):
        if isinstance(feature, DecayedPopularity):
            frame = _with_decayed(frame, feature)
        elif isinstance(feature, SinceLast):
            frame = _with_since_last(frame, feature)
        else:
            assert isinstance(feature, WindowFeature)
            frame = _with_window(frame, feature, dtype)
    known = (
        pl.when(pl.col(feature.entity).is_not_null())
        .then(pl.col(feature.name).cast(dtype))
        .alias(feature.name)
        for feature, dtype in zip(features, dtypes, strict=True)
    )
    return frame.with_columns(known).sort(ROW)


def _with_window(frame: pl.LazyFrame, feature: WindowFeature, dtype: pl.DataType) -> pl.LazyFrame:
    value, counts = pl.col(f"{VALUE}{feature.value}"), pl.col(COUNTS[feature.of])
    if feature.aggregation == "count":
        frame = frame.with_columns(counts.cast(pl.Int64).alias(HELD))
        return frame.with_columns(_rolling(pl.col(HELD).sum(), feature).fill_null(0))
    if feature.aggregation in {"min", "max"}:
        frame = frame.with_columns(pl.when(counts).then(value.cast(dtype)).alias(ADDED))
        extreme = pl.col(ADDED).min() if feature.aggregation == "min" else pl.col(ADDED).max()
        return frame.with_columns(_rolling(extreme, feature))
    frame = frame.with_columns(
        pl.when(counts).then(value.cast(dtype)).fill_null(0).alias(ADDED),
        (counts & value.is_not_null()).cast(pl.Int64).alias(HELD),
    )
    total = _rolling(pl.col(ADDED).sum(), feature).fill_null(0)
    if feature.aggregation == "sum":
        return frame.with_columns(total)
    held = _rolling(pl.col(HELD).sum(), feature).fill_null(0)
    return frame.with_columns(pl.when(held > 0).then(total / held).alias(feature.name))


def _rolling(aggregate: pl.Expr, feature: WindowFeature) -> pl.Expr:
    rolling = aggregate.rolling(c.TS, period=feature.window, closed="left")
    return rolling.over(feature.entity).alias(feature.name)


def _with_since_last(frame: pl.LazyFrame, feature: SinceLast) -> pl.LazyFrame:
    ts, entity = pl.col(c.TS).cast(pl.Int64), feature.entity
    frame = frame.with_columns(pl.when(COUNTS[feature.of]).then(ts).alias(CLICK_TS))
    frame = frame.with_columns(pl.col(CLICK_TS).fill_null(strategy="forward").over(entity))
    frame = frame.with_columns(pl.col(CLICK_TS).shift(1).over(entity))
    # the first row of an instant sees what came before; where that is nothing, later rows of the
    # instant see the instant itself
    frame = frame.with_columns(pl.col(CLICK_TS).min().over(entity, c.TS))
    since = ts - pl.col(CLICK_TS)
    return frame.with_columns(pl.when(since > 0).then(since).alias(feature.name))


def _with_decayed(frame: pl.LazyFrame, feature: DecayedPopularity) -> pl.LazyFrame:
    """One running sum an entity: a click weighs 2 ** its time, and the sum is scaled back."""
    half_life, length = decay_us(feature)
    ts, span = pl.col(c.TS).cast(pl.Int64), [feature.entity, SPAN]
    frame = frame.with_columns(
        (ts // length).alias(SPAN), ((ts % length) / half_life).alias(ELAPSED)
    ).with_columns((pl.col(COUNTS["clicks"]) * 2.0 ** pl.col(ELAPSED)).alias(WEIGHT))
    last = (
        frame.group_by(span).agg(pl.col(WEIGHT).sum().alias(CARRIED)).with_columns(pl.col(SPAN) + 1)
    )
    summed = frame.with_columns(pl.col(WEIGHT).cum_sum().over(span).alias(BEFORE))
    shifted = summed.with_columns(pl.col(BEFORE).shift(1, fill_value=0.0).over(span))
    # the rows of one instant all see what was there before its first
    before = shifted.with_columns(pl.col(BEFORE).min().over(feature.entity, c.TS))
    joined = before.join(last, on=span, how="left", maintain_order="left")
    held = pl.col(BEFORE) + pl.col(CARRIED).fill_null(0.0) * 2.0 ** -(length / half_life)
    scaled = (held * 2.0 ** -pl.col(ELAPSED)).alias(feature.name)
    return joined.with_columns(scaled).drop(CARRIED)
