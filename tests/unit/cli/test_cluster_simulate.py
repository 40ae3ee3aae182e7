"""`recbench cluster simulate` and `plan`: what they print, what they write, what they refuse."""

import json

import pytest

from recbench.cli import main


@pytest.fixture
def simulated(tmp_path, monkeypatch, capsys):
    """What a small simulation wrote and printed."""
    monkeypatch.chdir(tmp_path)
    arguments = ["--days", "1", "--peak", "1", "--maximum", "8", "--json", "s.json"]
    main(["cluster", "simulate", *arguments])
    return json.loads((tmp_path / "s.json").read_text()), capsys.readouterr()


def test_every_arm_stands_beside_ours_and_the_bound(simulated):
    held, printed = simulated

    arms = [row["arm"] for row in held["arms"]]
    assert arms[0] == "fixed, largest"
    assert arms[-2:] == ["ours", "clairvoyant bound"]
    costs = {row["arm"]: row["cost"] for row in held["arms"]}
    assert costs["clairvoyant bound"] < costs["ours"] < costs["fixed, largest"]
    assert {row["days"] for row in held["savings"]} == {1}
    assert "What ours saves" in printed.out
    assert "day 20000: ours" in printed.err


def test_a_log_gives_its_rhythm(tiny_log, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--days", "1", "--peak", "1", "--maximum", "8", "--data", str(tiny_log)]
    main(["cluster", "simulate", *arguments, "--json", "s.json"])

    traces = {row["trace"] for row in json.loads((tmp_path / "s.json").read_text())["days"]}
    assert traces == {f"{tiny_log.stem}, 1 days before its end"}


def test_a_log_that_is_too_short_is_refused(tiny_log, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as leaving:
        main(["cluster", "simulate", "--days", "50", "--data", str(tiny_log)])

    assert leaving.value.code == 2
    assert "must reach back for 50 days" in capsys.readouterr().err


def test_the_plan_is_printed_and_written(tmp_path, capsys):
    main(["cluster", "plan", "--users", "1e6", "--json", str(tmp_path / "p.json")])

    assert capsys.readouterr().out.startswith("# Beyond one cluster\n\nWhat 1 million users")
    held = json.loads((tmp_path / "p.json").read_text())
    assert held.keys() == {"1", "10", "100"}
    assert held["10"][0]["stage"] == "broker"


def test_a_plan_from_benches_names_their_folder(tmp_path, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["cluster", "plan", "--costs", str(tmp_path)])

    assert leaving.value.code == 2
    assert f"`{tmp_path}` holds no figures" in capsys.readouterr().err
