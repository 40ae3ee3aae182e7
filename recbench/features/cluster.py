"""Features on a Dask cluster: one query a task, over the whole logs of some of the entities.

A feature of an entity needs no row of another entity. So the rows are dealt out by their entity,
once for each kind of entity, with the columns that its features are made of and no others; a task
gives back a column a feature, and where its rows stood.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.batch import collect, window_features
from recbench.features.definitions import Feature
from recbench.features.derived import columns_of, derived_values, with_derived

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["collect_features"]

Engine = Literal["cpu", "gpu", "cluster"]
Work = Callable[[pl.DataFrame], pl.DataFrame]

ROW, PART = "__row", "__part"  # columns that live only here


def collect_features(
    events: pl.LazyFrame,
    features: Sequence[Feature],
    *,
    engine: Engine = "cpu",
    client: "Client | None" = None,
    n_partitions: int | None = None,
) -> pl.DataFrame:
    """What ``batch.window_features`` gives, computed here or on a cluster: the same frame.

    Args:
        events: as for ``window_features``.
        features: what to compute.
        engine: ``"cluster"`` has the workers of ``client`` compute, each on its CPU.
        client: of the Dask cluster; for no other engine.
        n_partitions: how many tasks for each kind of entity; default: two for each thread of the
            cluster, so that no worker waits long for a larger part. For no other engine.

    Raises:
        InputError: ``client`` is missing or not wanted, ``n_partitions`` is below 1 or not wanted,
            or as ``window_features`` says.
        SchemaError: as ``window_features`` says.
    """
    if engine != "cluster":
        if client is not None or n_partitions is not None:
            raise InputError(
                f"`client` and `n_partitions` are for `engine='cluster'`, got engine={engine!r}"
            )
        return collect(window_features(events, features, engine=engine), engine=engine)
    if client is None:
        raise InputError(
            "`engine='cluster'` needs a `client`, such as `distributed.Client(address)`"
        )
    window_features(events, features)  # refuses before any row is sent
    if n_partitions is None:
        cluster: Any = client  # its methods carry no types
        n_partitions = 2 * sum(cluster.nthreads().values())
    if n_partitions < 1:
        raise InputError(f"`n_partitions` must be at least 1, got {n_partitions}")
    dealt = partial(_dealt, client=client, n_partitions=n_partitions)
    return _on_cluster(events.collect(), features, dealt)


def _on_cluster(
    events: pl.DataFrame, features: Sequence[Feature], dealt: Callable[..., pl.DataFrame]
) -> pl.DataFrame:
    names = [*events.columns, *(feature.name for feature in features)]
    frame = events.with_row_index(ROW)
    along_users = [feature for feature in features if derived_values([feature])]
    if any(feature.entity != c.USER_ID for feature in along_users):
        rows = frame.select(ROW, *columns_of(along_users, frame.columns))
        derived = dealt(rows, key=c.USER_ID, work=partial(_derived, features=along_users))
        frame = frame.join(derived, on=ROW, how="left", maintain_order="left")
    for entity in dict.fromkeys(feature.entity for feature in features):
        mine = [feature for feature in features if feature.entity == entity]
        rows = frame.select(ROW, *columns_of(mine, frame.columns)).drop_nulls(entity)
        found = dealt(rows, key=entity, work=partial(_featured, features=mine))
        frame = frame.join(found, on=ROW, how="left", maintain_order="left")
    return frame.select(names)


def _dealt(
    rows: pl.DataFrame, *, key: str, work: Work, client: Any, n_partitions: int
) -> pl.DataFrame:
    """What ``work`` gives for the rows, those of one ``key`` always together, in any order."""
    part = (pl.col(key).hash() % n_partitions).alias(PART)
    parts = rows.with_columns(part).partition_by(PART, maintain_order=True, include_key=False)
    sent = client.scatter(parts or [rows])
    done: list[pl.DataFrame] = client.gather(client.map(work, sent, pure=False))
    return pl.concat(done)


def _derived(rows: pl.DataFrame, *, features: Sequence[Feature]) -> pl.DataFrame:
    return collect(with_derived(rows.lazy(), features).select(ROW, *derived_values(features)))


def _featured(rows: pl.DataFrame, *, features: Sequence[Feature]) -> pl.DataFrame:
    return collect(window_features(rows.lazy(), features).select(ROW, *(f.name for f in features)))
