"""RecBole's models as rivals: they learn what can be learned, and answer what is asked."""

import numpy as np
import polars as pl
import pytest

from recbench.benchmarks.peers_python import peers_python
from recbench.benchmarks.quality.peers import PEERS, foreign_lists
from recbench.errors import InputError
from recbench.index.exact import top_k
from recbench.tables.queries import InteractionLog

N_USERS, N_ITEMS, LENGTH = 200, 12, 8
EPOCHS = 12


@pytest.fixture(scope="module")
def log():
    """Everybody goes round the same twelve items, from where he begins."""
    user, step = (part.ravel() for part in np.indices((N_USERS, LENGTH)))
    ts = pl.Series(step).cast(pl.Datetime("us", "UTC"))
    items = (user + step) % N_ITEMS
    return InteractionLog.from_events(pl.DataFrame({"user_id": user, "item_id": items, "ts": ts}))


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_learns_what_follows_what(log, name):
    if peers_python() is None:
        pytest.skip(".venv-peers is not built: run `make env-peers`")
    queries = log.queries(log.users.ids, LENGTH)
    lists, figures = foreign_lists(name, log, queries, epochs=[1, EPOCHS], length=5)
    best, _ = top_k(lists[EPOCHS].score_items(queries), k=1)
    follows = (np.arange(N_USERS) + LENGTH) % N_ITEMS
    assert np.mean(best[:, 0] == follows) > 0.9
    early, _ = top_k(lists[1].score_items(queries), k=1)
    assert np.mean(early[:, 0] == follows) < np.mean(best[:, 0] == follows)
    assert figures["cpu_s"] > 0
    with pytest.raises(InputError, match="not among the queries asked"):
        lists[1].score_items(log.queries(log.users.ids[:1], LENGTH - 1))
