"""`recbench policy floors` as a user calls it."""

import json

import numpy as np
import polars as pl
import pytest

from recbench.cli import main

N = 4_000


@pytest.fixture
def exposures(tmp_path):
    """One slot a list. With the floor item 1 is shown, in a tenth without it item 0."""
    rng = np.random.default_rng(0)
    is_free = rng.random(N) < 0.1
    path = tmp_path / "joined.parquet"
    pl.DataFrame(
        {
            "request_id": np.arange(N),
            "item_id": np.where(is_free, 0, 1),
            "floor_kept": ~is_free,
            "floor_chance": np.where(is_free, 0.1, 0.9),
            "protected": ~is_free,
            "clicked": rng.random(N) < np.where(is_free, 0.5, 0.2),
        }
    ).write_parquet(path)
    return path


def test_cost_of_a_floor_is_told_with_its_share(exposures, tmp_path, capsys):
    told = tmp_path / "told.json"
    main(["policy", "floors", "--data", str(exposures), "--json", str(told)])

    found = json.loads(told.read_text())
    assert found["lost"]["low"] < 0.3 < found["lost"]["high"]
    assert found["gained_share"]["value"] == 1.0
    printed = capsys.readouterr().out
    assert "The floor cost, of reward a slot: 0." in printed
    assert "of reward for each slot of theirs" in printed


def test_a_log_that_is_too_short_has_no_price(exposures, tmp_path, capsys):
    short = tmp_path / "short.parquet"
    pl.read_parquet(exposures)[:100].write_parquet(short)
    main(["policy", "floors", "--data", str(short)])

    printed = capsys.readouterr().out
    assert "Cannot tell what the floor cost: 100 rows are worth" in printed
    assert "The floor cost," not in printed


def test_a_log_without_a_floor_is_refused(exposures, tmp_path, capsys):
    other = tmp_path / "other.parquet"
    pl.read_parquet(exposures).drop("floor_kept").write_parquet(other)
    with pytest.raises(SystemExit) as leaving:
        main(["policy", "floors", "--data", str(other)])
    assert leaving.value.code == 2
    assert "have no column `floor_kept`" in capsys.readouterr().err
