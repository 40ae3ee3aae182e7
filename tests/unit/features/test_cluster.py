"""Features computed by the workers of a Dask cluster equal those computed in one process."""

from datetime import timedelta

import polars as pl
import pytest

from recbench import columns as c
from recbench.benchmarks.generated import generated_events
from recbench.errors import InputError, SchemaError
from recbench.features.cluster import collect_features
from recbench.features.definitions import DecayedPopularity, WindowFeature
from recbench.features.shipped import SHIPPED_FEATURES

CATEGORY_JUMPS = WindowFeature(
    name="category_jumps",
    entity="category",
    aggregation="mean",
    value="category_jump",
    window=timedelta(days=1),
)


@pytest.fixture(scope="module")
def client():
    """Four worker processes on this machine, reached over the loopback."""
    from distributed import Client, LocalCluster

    from recbench.cluster.nanny import PatientNanny

    with (
        LocalCluster(
            n_workers=4,
            threads_per_worker=1,
            worker_class=PatientNanny,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address=None,
        ) as cluster,
        Client(cluster) as connected,
    ):
        yield connected


@pytest.fixture(scope="module")
def events():
    """Three thousand, out of order, some of them late or without user, category or outcome."""
    number = pl.int_range(pl.len())
    events = generated_events(3_000, seed=1).sample(fraction=1.0, shuffle=True, seed=2)
    return events.with_columns(
        pl.when(number % 50 > 0).then(c.USER_ID),
        pl.when(number % 7 > 0).then(c.CATEGORY),
        pl.when(number % 5 > 0).then(c.CLICKED),
        pl.when(number % 9 == 0).then(pl.col(c.TS) + timedelta(hours=1)).alias(c.WATERMARK),
    )


@pytest.mark.parametrize("n_partitions", [None, 3])
def test_the_shipped_features_are_equal_to_the_bit_and_in_order(client, events, n_partitions):
    features = [*SHIPPED_FEATURES, CATEGORY_JUMPS]
    alone = collect_features(events.lazy(), features)
    spread = collect_features(
        events.lazy(), features, engine="cluster", client=client, n_partitions=n_partitions
    )
    assert spread.equals(alone)
    assert spread["category_jumps"].drop_nulls().max() > 0


def test_an_empty_log_gives_an_empty_frame(client, events):
    nothing = events.lazy().filter(False)
    alone = collect_features(nothing, SHIPPED_FEATURES)
    spread = collect_features(nothing, SHIPPED_FEATURES, engine="cluster", client=client)
    assert spread.equals(alone)
    assert spread.schema == alone.schema


def test_what_cannot_be_computed_is_refused_before_any_row_is_sent(events):
    hot = DecayedPopularity(name="hot", half_life=timedelta(days=1))
    with pytest.raises(SchemaError, match=r"need \['item_id'\]"):
        collect_features(
            events.lazy().drop(c.ITEM_ID), [hot], engine="cluster", client="never asked"
        )


def test_a_cluster_needs_a_client(events):
    with pytest.raises(InputError, match="`engine='cluster'` needs a `client`"):
        collect_features(events.lazy(), [], engine="cluster")


@pytest.mark.parametrize("unwanted", [{"client": "a client"}, {"n_partitions": 2}])
def test_other_engines_take_neither_client_nor_partitions(events, unwanted):
    with pytest.raises(InputError, match="for `engine='cluster'`, got engine='cpu'"):
        collect_features(events.lazy(), [], **unwanted)


def test_no_partition_is_refused(client, events):
    with pytest.raises(InputError, match="`n_partitions` must be at least 1, got 0"):
        collect_features(events.lazy(), [], engine="cluster", client=client, n_partitions=0)
