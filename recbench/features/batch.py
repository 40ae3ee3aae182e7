"""Point-in-time features over whole logs, lazily in Polars, on the CPU or the GPU.

On the CPU one step of the query makes arrays of the log (``on_cpu``): put in order once for each
entity, in half the time of rolling expressions, which order it for each window. On the GPU the
query is made of the expressions that its engine runs (``on_gpu``). Both give the same numbers.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError, SchemaError
from recbench.features import on_cpu, on_gpu
from recbench.features.definitions import Feature
from recbench.features.derived import derived_values, with_derived
from recbench.features.prepared import COUNTS, prepared, result_dtype

__all__ = ["Engine", "collect", "features_at", "window_features", "window_lookup"]

Engine = Literal["cpu", "gpu"]

POINT = "__point"  # a column that lives only inside a query


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
    events: pl.LazyFrame, features: Sequence[Feature], *, engine: Engine = "cpu"
) -> pl.LazyFrame:
    """``events`` with one more column a feature, as it was known at the row's own t.

    Neither the event itself nor any other of the same instant counts, and a late row counts
    nowhere: one with ``ts`` before its ``watermark``. A row without a feature's entity has null.
    Integers are exact. Rows keep their order, whatever it is.

    Args:
        events: canonical, in order of arrival; ``ts`` without nulls. A column that a feature names
            and the log lacks counts as null; without ``clicked`` every row is a click.
        features: what to compute.
        engine: for which engine the query is written; collect it on the same one.

    Raises:
        SchemaError: an entity's column or ``ts`` is missing, or a value is no number.
        InputError: a feature's name is taken, or the engine has no form of a feature.
    """
    schema = events.collect_schema()
    _check(schema, features, what="events")
    frame, values = _with_values(events, features, engine=engine)
    computed = _computed(frame.with_columns(values), features, engine=engine)
    return computed.select(*schema, *(f.name for f in features))


def features_at(
    events: pl.LazyFrame,
    points: pl.LazyFrame,
    features: Sequence[Feature],
    *,
    engine: Engine = "cpu",
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
        SchemaError: a key is missing, or has another dtype in ``points`` than in ``events``, or a
            value is no number.
        InputError: a feature's name is taken, or the engine has no form of a feature.
    """
    held, asked = events.collect_schema(), points.collect_schema()
    keys = _keys(features)
    _check(held, features, what="events", taken=False)
    _check(asked, features, what="points")
    for key in keys:
        if held[key] != asked[key]:
            raise SchemaError(f"`{key}` is {held[key]} in `events` but {asked[key]} in `points`")
    frame, values = _with_values(events, features, engine=engine)
    both = pl.concat(
        [frame.select(*keys, *values), points.with_row_index(POINT)], how="diagonal"
    ).with_columns(pl.col(*COUNTS.values()).fill_null(False))
    computed = _computed(both, features, engine=engine).filter(pl.col(POINT).is_not_null())
    return computed.select(*asked, *(f.name for f in features))


def window_lookup(
    events: pl.DataFrame, features: Sequence[Feature], *, engine: Engine = "cpu"
) -> Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.float32]]:
    """A function from users (Q,) and instants (Q,) to their features (Q, W), float32.

    Instants are microseconds since the epoch. A feature without a value (the mean of an empty
    window) is 0.

    Args:
        events: as for ``window_features``.
        features: of users; numbers, no lists.
        engine: which computes them.
    """
    return partial(_values_at, events=events, features=features, engine=engine)  # can be pickled


def _values_at(
    user_ids: npt.NDArray[np.int64],
    ts: npt.NDArray[np.int64],
    *,
    events: pl.DataFrame,
    features: Sequence[Feature],
    engine: Engine,
) -> npt.NDArray[np.float32]:
    points = pl.DataFrame({c.USER_ID: user_ids, c.TS: ts}).with_columns(
        pl.col(c.TS).cast(c.INSTANT)
    )
    asked = events.lazy().filter(pl.col(c.USER_ID).is_in(points[c.USER_ID].unique().implode()))
    found = collect(features_at(asked, points.lazy(), features, engine=engine), engine=engine)
    values = found.select(
        pl.col(feature.name).fill_null(0).cast(pl.Float32) for feature in features
    )
    return values.to_numpy(writable=True)  # torch takes no read-only arrays


def _with_values(
    events: pl.LazyFrame, features: Sequence[Feature], *, engine: Engine
) -> tuple[pl.LazyFrame, list[pl.Expr]]:
    """The events with their derived values, and what the features are made of."""
    if engine == "gpu":
        schema = events.collect_schema()
        missing = [name for name in derived_values(features) if name not in schema]
        on_gpu.refuse(features, derived=missing)
    events = with_derived(events, features)
    return events, prepared(events.collect_schema(), features)


def _computed(frame: pl.LazyFrame, features: Sequence[Feature], *, engine: Engine) -> pl.LazyFrame:
    """The frame with its features, in its order."""
    schema = frame.collect_schema()
    dtypes = {feature.name: result_dtype(feature, schema) for feature in features}
    if engine == "gpu":
        return on_gpu.computed(frame, features, list(dtypes.values()))
    return frame.map_batches(
        lambda collected: on_cpu.computed(collected, features),
        schema={**schema, **dtypes},
        predicate_pushdown=False,
        projection_pushdown=False,
        slice_pushdown=False,
    )


def _keys(features: Sequence[Feature]) -> list[str]:
    return [*dict.fromkeys(feature.entity for feature in features), c.TS]


def _check(
    schema: pl.Schema, features: Sequence[Feature], *, what: str, taken: bool = True
) -> None:
    missing = [key for key in _keys(features) if key not in schema]
    if missing:
        raise SchemaError(f"`{what}` need {missing}, but have {schema.names()}")
    names = [*schema, *(f.name for f in features)] if taken else []
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InputError(f"A feature needs a name of its own; taken in `{what}`: {twice}")
