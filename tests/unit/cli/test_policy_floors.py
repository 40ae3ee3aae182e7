"""`recbench policy floors` as a user calls it."""

import json

import numpy as np
import polars as pl
import pytest

from recbench.cli import main

N = 4_000


@pytest.fixture
def exposures(tmp_path):
    """Two items: the floor is for item 1, which in every other request stands first for item 0."""
    rng = np.random.default_rng(0)
    best = np.arange(N) % 2
    item = np.where(rng.random(N) < 0.4, rng.integers(0, 2, N), best)
    path = tmp_path / "joined.parquet"
    pl.DataFrame(
        {
            "request_id": np.arange(N),
            "position": np.zeros(N, dtype=np.int16),
            "item_id": item,
            "propensity": np.where(item == best, 0.8, 0.2),
            "without_floor": np.where(item == 0, 0.8, 0.2),
            "protected": item == 1,
            "clicked": rng.random(N) < np.where(item == 0, 0.5, 0.2),
        }
    ).write_parquet(path)
    return path


def test_cost_of_a_floor_is_told_with_its_share(exposures, tmp_path, capsys):
    told = tmp_path / "told.json"
    main(["policy", "floors", "--data", str(exposures), "--json", str(told)])

    found = json.loads(told.read_text())
    # half of the slots: .6 of them show item 1 for item 0, which is clicked .3 more often
    assert found["lost"] == pytest.approx(0.5 * 0.6 * 0.3, abs=0.03)
    assert found["gained_share"] == pytest.approx(0.5 * 0.6, abs=0.03)
    printed = capsys.readouterr().out
    assert f"{N} slots of chance tell" in printed
    assert "The floor cost +0." in printed


def test_a_log_that_is_too_short_has_no_price(exposures, tmp_path, capsys):
    short = tmp_path / "short.parquet"
    pl.read_parquet(exposures)[:100].write_parquet(short)
    main(["policy", "floors", "--data", str(short)])

    printed = capsys.readouterr().out
    assert "Cannot tell what the floor cost: 100 rows are worth" in printed
    assert "The floor cost +" not in printed


def test_a_log_without_a_floor_is_refused(exposures, tmp_path, capsys):
    other = tmp_path / "other.parquet"
    pl.read_parquet(exposures).drop("without_floor").write_parquet(other)
    with pytest.raises(SystemExit) as leaving:
        main(["policy", "floors", "--data", str(other)])
    assert leaving.value.code == 2
    assert "have no column `without_floor`" in capsys.readouterr().err
