import pytest

from recbench.benchmarks import reinforce
from recbench.errors import InputError


def test_every_refresh_is_judged_by_the_same_world(monkeypatch):
    small = {"USERS": 60, "LIVE": 60, "REQUESTS": 3.0, "FIT_STEPS": 4, "STEPS": 2, "SLATE": 5}
    for name, value in small.items():
        monkeypatch.setattr(reinforce, name, value)
    result = reinforce.run(runs=1)
    (row,) = result.runs
    assert set(row) == {"stale", "popularity", "likelihood", "reinforce"}
    assert all(0 < value < 1 for value in row.values())
    assert result.figures["gain"] == pytest.approx(row["reinforce"] - row["likelihood"])
    assert result.figures["gain_low"] <= result.figures["gain"] <= result.figures["gain_high"]
    assert result.figures["worlds_gained"] == float(row["reinforce"] > row["likelihood"])


def test_no_world_is_refused():
    with pytest.raises(InputError, match="`runs` must be at least 1, got 0"):
        reinforce.run(runs=0)
