"""Window features over whole logs, lazily in Polars, on the CPU or the GPU.

One window is one rolling expression over its entity, sorted once by (entity, time). Two forms
give the same numbers: ``sum().rolling().over()``, which the GPU engine supports and which is fastest on the CPU
from Polars 2 on, and ``rolling_sum_by().over()`` for the CPU under Polars 1, where the first takes
a hundred times as long.
"""

from collections.abc import Sequence
from typing import Literal

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.definitions import WindowFeature

__all__ = ["Engine", "collect", "features_at", "window_features"]

Engine = Literal["cpu", "gpu"]
POLARS_MAJOR = int(pl.__version__.split(".")[0])
ROW = "_row"
IS_EVENT = "_is_event"


def collect(frame: pl.LazyFrame, *, engine: Engine = "cpu") -> pl.DataFrame:
    """The result of the query.

    Args:
        frame: any lazy query.
        engine: ``"gpu"`` raises where the GPU cannot run a part; it never falls back unseen.

    Raises:
        InputError: no such engine, or the GPU engine is not installed.
    """
    if engine == "cpu":
        return frame.collect()
    if engine != "gpu":
        raise InputError(f"`engine` must be 'cpu' or 'gpu', got {engine!r}")
    try:
        return frame.collect(engine=pl.GPUEngine(raise_on_fail=True))
    except ModuleNotFoundError as error:
        raise InputError(
            f"`engine='gpu'` needs cudf-polars ({error}); environments/README.md says how to "
            "install the gpu environment"
        ) from error


def window_features(
    events: pl.LazyFrame, features: Sequence[WindowFeature], *, engine: Engine = "cpu"
) -> pl.LazyFrame:
    """``events`` with one more column a feature, each over [t - window, t) of the row's own t.

    Neither the event itself nor any other of the same instant counts. Rows keep their order.

    Args:
        events: canonical; a column that a feature names and the log lacks counts as null.
        features: what to compute.
        engine: for which engine the query is written; collect it on the same one.
    """
    named = set(events.collect_schema().names())
    frame = events.with_row_index(ROW)
    for entity in dict.fromkeys(feature.entity for feature in features):
        own = [feature for feature in features if feature.entity == entity]
        frame = frame.sort(entity, c.TS, maintain_order=True).with_columns(
            _window(feature, named, engine=engine) for feature in own
        )
    return frame.sort(ROW).drop(ROW)


def features_at(
    events: pl.LazyFrame,
    points: pl.LazyFrame,
    features: Sequence[WindowFeature],
    *,
    engine: Engine = "cpu",
) -> pl.LazyFrame:
    """``points`` with one more column a feature, as it was known at each point.

    Args:
        events: canonical.
        points: the entities' columns and ``ts``; they keep their order and are no events.
        features: what to compute.
        engine: for which engine the query is written.
    """
    entities = list(dict.fromkeys(feature.entity for feature in features))
    keys = [*entities, c.TS]
    held = events.collect_schema().names()
    values = {feature.value for feature in features if feature.value in held}
    values |= {c.CLICKED} & set(held)
    both = pl.concat(
        [
            events.select(*keys, *sorted(values)).with_columns(pl.lit(True).alias(IS_EVENT)),
            points.select(keys).with_columns(pl.lit(False).alias(IS_EVENT)),
        ],
        how="diagonal",
    )
    if c.CLICKED not in values:
        both = both.with_columns(pl.col(IS_EVENT).alias(c.CLICKED))
    both = both.with_columns((pl.col(c.CLICKED) & pl.col(IS_EVENT)).alias(c.CLICKED))
    computed = window_features(both, features, engine=engine).filter(~pl.col(IS_EVENT))
    return pl.concat([points, computed.select(f.name for f in features)], how="horizontal")


def _window(feature: WindowFeature, columns: set[str], *, engine: Engine) -> pl.Expr:
    if feature.aggregation == "count":
        clicked = pl.col(c.CLICKED) if c.CLICKED in columns else pl.lit(True)
        return _rolling_sum(clicked.fill_null(False).cast(pl.Int64), feature, engine=engine)
    if feature.value not in columns:
        empty = pl.lit(0 if feature.aggregation == "sum" else None, pl.Int64)
        return empty.alias(feature.name)
    value = pl.col(feature.value)
    total = _rolling_sum(value.fill_null(0), feature, engine=engine)
    if feature.aggregation == "sum":
        return total
    count = _rolling_sum(value.is_not_null().cast(pl.Int64), feature, engine=engine)
    return pl.when(count > 0).then(total / count).alias(feature.name)


def _rolling_sum(value: pl.Expr, feature: WindowFeature, *, engine: Engine) -> pl.Expr:
    if engine == "gpu" or POLARS_MAJOR >= 2:
        rolling = value.sum().rolling(c.TS, period=feature.window, closed="left")
    else:
        rolling = value.rolling_sum_by(
            c.TS, window_size=feature.window, closed="left", min_samples=0
        )
    return rolling.over(feature.entity).fill_null(0).alias(feature.name)
