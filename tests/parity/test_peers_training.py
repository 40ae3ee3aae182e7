"""The comparison with RecTools: the same positions, and a model that learns."""

import polars as pl
import pytest

from recbench.benchmarks import peers
from recbench.benchmarks.peers_python import peers_python
from recbench.tables.log import EventLog

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tiny_events, tiny_items):
    return EventLog("tiny", "masked", tiny_events, tiny_items, version=0)


def test_both_sides_train_on_the_same_positions(data, monkeypatch):
    if peers_python() is None:
        pytest.skip(".venv-peers is not built: run `make env-peers`")
    asked = {}
    ask = peers._ask

    def remembered(question, **payload):
        asked.update(answer=ask(question, **payload), payload=payload)
        return asked["answer"]

    monkeypatch.setattr(peers, "_ask", remembered)
    figures = peers._beside_rectools(data, seed=0)
    # by hand: each user's last 51 events, all but the first a target, five times
    last = data.events.group_by("user_id").tail(51)
    expected = 5 * sum(n - 1 for n in last.group_by("user_id").len()["len"])
    assert asked["answer"]["positions"] == expected
    assert figures["vs_rectools_sasrec"] > 0


def test_recboles_lists_hold_nothing_seen(data):
    if peers_python() is None:
        pytest.skip(".venv-peers is not built: run `make env-peers`")
    answer = peers._ask(
        "recbole",
        train=[[1, 2, 3, 4], [2, 3, 4, 5], [1, 3, 5]],
        asked=[[1, 2, 3], [4, 5]],
        n_items=6,
        cpu_s=0.5,
        k=2,
        seed=0,
    )
    assert answer["epochs"]
    for epoch in answer["epochs"]:
        first, second = epoch["lists"]
        assert set(first) <= {4, 5, 6}
        assert set(second) <= {1, 2, 3, 6}
    assert pl.Series([epoch["cpu_s"] for epoch in answer["epochs"]]).is_sorted()
