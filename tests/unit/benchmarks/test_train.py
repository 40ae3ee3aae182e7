"""The training benchmark at a small size."""

import pytest

from recbench.benchmarks import catalogue, peers, train
from recbench.errors import InputError


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(train, "peers_python", lambda: None)
    monkeypatch.setattr(catalogue, "STEPS", 2)


def test_without_peers_there_are_our_own_figures(small):
    result = train.run(runs=1, events=3_000, steps=3, items=10_000)
    measured = result.runs[0]
    assert result.figures["vs_bare_loop"] == measured["bare_s"] / measured["ours_s"]
    assert {"examples_per_s", "step_ms_10k_items", "catalogue_bytes"} <= result.figures.keys()
    assert "vs_rectools_sasrec" not in result.figures


def test_with_peers_their_figures_stand_beside(small, monkeypatch):
    monkeypatch.setattr(train, "peers_python", lambda: "python")
    monkeypatch.setattr(peers, "measure", lambda **_: {"vs_rectools_sasrec": 2.0})
    assert train.run(runs=1, events=3_000, steps=2, items=10_000).figures["vs_rectools_sasrec"] == 2


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match=r"must be positive, got \(0, 1, 1\)"):
        train.run(runs=0, events=1, steps=1)
