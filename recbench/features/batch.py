"""Point-in-time features over whole logs, lazily in Polars, on the CPU or the GPU.

The log is put in order of time once; each window is then one rolling expression over its entity.
Two forms of it give the same numbers: ``sum().rolling().over()``, the only one that the GPU engine
runs and the fastest on the CPU from Polars 2 on, and ``rolling_sum_by().over()`` for the CPU under
Polars 1, where the first takes a hundred times as long and all the memory.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError, SchemaError
from recbench.features.definitions import DecayedPopularity, WindowFeature

__all__ = ["Engine", "collect", "features_at", "window_features", "window_lookup"]

Engine = Literal["cpu", "gpu"]
Features = Sequence[WindowFeature | DecayedPopularity]

POLARS_MAJOR = int(pl.__version__.split(".")[0])
MICROSECOND = timedelta(microseconds=1)

# Columns that live only inside a query.
ROW, CLICKS, SUM, HELD = "__row", "__clicks", "__sum_", "__held_"
STRETCH, ELAPSED, WEIGHT, BEFORE = "__stretch", "__elapsed", "__weight", "__before"

# Popularity is summed in stretches of so many half-lives, in which 2 ** elapsed stays far from
# overflow; clicks more than a whole stretch back weigh less than 2 ** -256 and count as nothing.
HALF_LIVES = 256


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
            f"`engine='gpu'` needs {error.name or 'cudf_polars'}, which is not installed here; "
            "environments/README.md says how to install the gpu environment"
        ) from error


def window_features(
    events: pl.LazyFrame, features: Features, *, engine: Engine = "cpu"
) -> pl.LazyFrame:
    """``events`` with one more column a feature, as it was known at the row's own t.

    A window is [t - w, t): neither the event itself nor any other of the same instant counts.
    Sums of integers are exact. Rows keep their order, whatever it is.

    Args:
        events: canonical; ``ts`` without nulls. A column that a feature names and the log lacks
            counts as null; without ``clicked`` every row is a click.
        features: what to compute.
        engine: for which engine the query is written; collect it on the same one.

    Raises:
        SchemaError: an entity's column or ``ts`` is missing.
        InputError: a feature's name is taken.
    """
    schema = events.collect_schema()
    _check(schema, features, what="events")
    frame = events.with_row_index(ROW).with_columns(_values(schema, features))
    return _computed(frame, features, engine=engine).select(*schema, *(f.name for f in features))


def features_at(
    events: pl.LazyFrame, points: pl.LazyFrame, features: Features, *, engine: Engine = "cpu"
) -> pl.LazyFrame:
    """``points`` with one more column a feature, as it was known at each point.

    The numbers are those that ``window_features`` gives to an event of the same entity and
    instant; points are no events and do not count for one another.

    Args:
        events: as for ``window_features``.
        points: the features' entities and ``ts``, of the events' dtypes; may hold more, and keep
            their order.
        features: what to compute.
        engine: for which engine the query is written; collect it on the same one.

    Raises:
        SchemaError: a key is missing, or has another dtype in ``points`` than in ``events``.
        InputError: a feature's name is taken.
    """
    held, asked = events.collect_schema(), points.collect_schema()
    keys = _keys(features)
    _check(held, features, what="events", taken=False)
    _check(asked, features, what="points")
    for key in keys:
        if held[key] != asked[key]:
            raise SchemaError(f"`{key}` is {held[key]} in `events` but {asked[key]} in `points`")
    values = _values(held, features)
    names = [value.meta.output_name() for value in values]
    both = pl.concat(
        [events.select(*keys, *values), points.with_row_index(ROW)], how="diagonal"
    ).with_columns(pl.col(names).fill_null(0))
    computed = _computed(both, features, engine=engine).filter(pl.col(ROW).is_not_null())
    return computed.select(*asked, *(f.name for f in features))


def _computed(frame: pl.LazyFrame, features: Features, *, engine: Engine) -> pl.LazyFrame:
    """The frame with its features, in the order of ROW."""
    windows = [f for f in features if isinstance(f, WindowFeature)]
    frame = frame.sort(c.TS, maintain_order=True).with_columns(
        _window(feature, engine=engine) for feature in windows
    )
    for feature in features:
        if isinstance(feature, DecayedPopularity):
            frame = _with_decayed(frame, feature)
    return frame.sort(ROW)


def window_lookup(
    events: pl.DataFrame, features: Sequence[WindowFeature], *, engine: Engine = "cpu"
) -> Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.float32]]:
    """A function from users (Q,) and instants (Q,) to their window features (Q, W), float32.

    Instants are microseconds since the epoch. A feature without a value (the mean of an empty
    window) is 0.
    """
    names = [feature.name for feature in features]

    def look_up(
        user_ids: npt.NDArray[np.int64], ts: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        points = pl.DataFrame({c.USER_ID: user_ids, c.TS: ts}).with_columns(
            pl.col(c.TS).cast(c.INSTANT)
        )
        asked = events.lazy().filter(pl.col(c.USER_ID).is_in(points[c.USER_ID].unique().implode()))
        found = collect(features_at(asked, points.lazy(), features, engine=engine), engine=engine)
        values = found.select(pl.col(names).fill_null(0).cast(pl.Float32))
        return values.to_numpy(writable=True)  # torch takes no read-only arrays

    return look_up


def _window(feature: WindowFeature, *, engine: Engine) -> pl.Expr:
    if feature.aggregation == "count":
        return _rolling_sum(CLICKS, feature, engine=engine).alias(feature.name)
    total = _rolling_sum(f"{SUM}{feature.value}", feature, engine=engine)
    if feature.aggregation == "sum":
        return total.alias(feature.name)
    held = _rolling_sum(f"{HELD}{feature.value}", feature, engine=engine)
    return pl.when(held > 0).then(total / held).alias(feature.name)


def _rolling_sum(column: str, feature: WindowFeature, *, engine: Engine) -> pl.Expr:
    value, window = pl.col(column), feature.window
    if engine == "gpu" or POLARS_MAJOR >= 2:
        rolling = value.sum().rolling(c.TS, period=window, closed="left")
    else:
        rolling = value.rolling_sum_by(c.TS, window_size=window, closed="left", min_samples=0)
    return rolling.over(feature.entity).fill_null(0)


def _with_decayed(frame: pl.LazyFrame, feature: DecayedPopularity) -> pl.LazyFrame:
    """One cumulative sum an item: a click weighs 2 ** its time, and the sum is scaled back."""
    half_life = feature.half_life // MICROSECOND
    ts, stretch = pl.col(c.TS).cast(pl.Int64), [feature.entity, STRETCH]
    frame = frame.with_columns(
        (ts // (HALF_LIVES * half_life)).alias(STRETCH),
        ((ts % (HALF_LIVES * half_life)) / half_life).alias(ELAPSED),
    ).with_columns((pl.col(CLICKS) * 2.0 ** pl.col(ELAPSED)).alias(WEIGHT))
    last = (
        frame.group_by(stretch)
        .agg(pl.col(WEIGHT).sum().alias(feature.name))
        .with_columns(pl.col(STRETCH) + 1)
    )
    summed = frame.with_columns(pl.col(WEIGHT).cum_sum().over(stretch).alias(BEFORE))
    shifted = summed.with_columns(pl.col(BEFORE).shift(1, fill_value=0.0).over(stretch))
    # the rows of one instant all see what was there before its first
    before = shifted.with_columns(pl.col(BEFORE).min().over(feature.entity, c.TS))
    joined = before.join(last, on=stretch, how="left", maintain_order="left")
    held = pl.col(BEFORE) + pl.col(feature.name).fill_null(0.0) * 2.0**-HALF_LIVES
    return joined.with_columns((held * 2.0 ** -pl.col(ELAPSED)).alias(feature.name))


def _values(schema: pl.Schema, features: Features) -> list[pl.Expr]:
    """What the features add up, a column each, without nulls."""
    clicked = pl.col(c.CLICKED).fill_null(False) if c.CLICKED in schema else pl.lit(True)
    values = [clicked.cast(pl.Int64).alias(CLICKS)]
    named = (f.value for f in features if isinstance(f, WindowFeature) and f.value is not None)
    for name in dict.fromkeys(named):
        dtype = schema.get(name, pl.Int64())
        if not (dtype.is_numeric() or dtype == pl.Boolean):
            raise SchemaError(f"`{name}` cannot be added up: its dtype is {dtype}")
        wide = pl.Float64() if dtype.is_float() or dtype.is_decimal() else pl.Int64()
        value = (pl.col(name) if name in schema else pl.lit(None)).cast(wide)
        values.append(value.fill_null(0).alias(f"{SUM}{name}"))
        values.append(value.is_not_null().cast(pl.Int64).alias(f"{HELD}{name}"))
    return values


def _keys(features: Features) -> list[str]:
    return [*dict.fromkeys(feature.entity for feature in features), c.TS]


def _check(schema: pl.Schema, features: Features, *, what: str, taken: bool = True) -> None:
    missing = [key for key in _keys(features) if key not in schema]
    if missing:
        raise SchemaError(f"`{what}` need {missing}, but have {schema.names()}")
    names = [*schema, *(f.name for f in features)] if taken else []
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InputError(f"A feature needs a name of its own; taken in `{what}`: {twice}")
