"""Ranks to train on: real processes, forked beside worker threads of this one."""

import pytest


@pytest.fixture(scope="session")
def ranks():
    """``ranks(n)`` is a cluster of n ranks; all share one warm fork server."""
    from distributed import Client, LocalCluster

    from recbench.cluster.ranks import ranks_on

    with (
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            processes=False,  # threads: they share one fork server
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield lambda n, most=None: ranks_on(client, minimum=n, maximum=most or n)
