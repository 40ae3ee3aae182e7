"""`recbench world` on worlds of a second."""

import json

import polars as pl
import pytest

from recbench.cli import main

TINY = ["--users", "40", "--items", "60", "--days", "1", "--requests", "8"]


def test_a_log_is_written_with_its_items_beside_it(tmp_path, capsys):
    out = tmp_path / "made.events.parquet"
    main(["world", "log", "--out", str(out), *TINY])

    events = pl.read_parquet(out)
    assert {"request_id", "position", "propensity", "arrival_ts"} <= set(events.columns)
    assert len(pl.read_parquet(tmp_path / "made.items.parquet")) > 60
    assert f"{len(events):,} simulated showings" in capsys.readouterr().out


def test_twins_print_the_truth_beside_two_experiments(tmp_path, capsys):
    file, figure = tmp_path / "twins.json", tmp_path / "twins.png"
    options = ["--seeds", "2", "--json", str(file), "--figure", str(figure)]
    main(["world", "twins", *TINY, *options])

    printed = capsys.readouterr().out
    assert printed.count("both learn from all") == 2
    assert printed.count("each learns from its own") == 2
    assert len(json.loads(file.read_text())["arms"]) == 4
    assert figure.stat().st_size > 0


def test_labels_are_compared_at_a_delay_even_if_none_is_given(capsys):
    main(["world", "labels", *TINY, "--seeds", "2"])
    assert "fake negatives, weighted" in capsys.readouterr().out


def test_a_real_log_stands_beside_simulated_ones(tmp_path, capsys, monkeypatch):
    from dataclasses import replace

    from recbench.simulation import shop, validate

    little = replace(shop.LIKE_A_SHOP, days=1.0, n_users=150, n_live=100, n_categories=10)
    monkeypatch.setattr(validate.compared, "__defaults__", (little, None))
    monkeypatch.setattr(shop, "TICK_S", 120.0)
    shop.shop_clicks(little, shop.Habits(), seed=9).write_parquet(tmp_path / "real.parquet")
    main(["world", "curve", "--data", str(tmp_path / "real.parquet"), "--seeds", "2"])

    printed = capsys.readouterr().out
    for name in ("never", "1 d", "1 h", "15 min", "returns_after_break", "known_steps"):
        assert name in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["log", "--out", "made.parquet"], "must end in .events.parquet, got made.parquet"),
        (["labels", "--days", "-1"], "`days` must be positive, got -1"),
        (["curve", "--data", "nowhere.parquet"], "nowhere.parquet"),
    ],
)
def test_bad_input_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["world", *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
