"""`recbench cluster power` and `advise`, with a stand-in for NVML: no real GPU is asked."""

import json
import sys

import pytest

from recbench.cli import main


@pytest.fixture
def nvml(monkeypatch, stand_in_nvml):
    made = stand_in_nvml(350, 250)
    monkeypatch.setitem(sys.modules, "pynvml", made)
    return made


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as leaving:
        main(["cluster", *arguments])
    assert leaving.value.code == 2
    return capsys.readouterr().err


def test_power_shows_every_gpu_and_changes_nothing(nvml, tmp_path, capsys):
    main(["cluster", "power", "--json", str(tmp_path / "power.json")])

    assert "stand-in GPU 1" in capsys.readouterr().out
    rows = json.loads((tmp_path / "power.json").read_text())
    assert [(row["gpu"], row["limit_w"], row["default_w"]) for row in rows] == [
        (0, 350, 400),
        (1, 250, 400),
    ]
    assert (rows[0]["lowest_w"], rows[0]["highest_w"], rows[0]["draws_w"]) == (100, 400, 90)
    assert nvml.was_set == []


def test_a_cap_is_set_by_the_users_word_only(nvml, capsys):
    assert "--cap 200 changes nothing without --yes" in refused(capsys, "power", "--cap", "200")
    assert nvml.was_set == []

    main(["cluster", "power", "--cap", "200", "--gpu", "1", "--yes"])
    assert nvml.was_set == [(1, 200_000)]
    assert "GPU 1: 250 W -> 200 W. Back: recbench cluster power --gpu 1 --cap 250 --yes" in (
        capsys.readouterr().out
    )
    assert "must lie in 100 to 400, got 900" in refused(capsys, "power", "--cap", "900", "--yes")
    for asked in ([], ["--cap", "200", "--yes"]):
        assert "no GPU 7: this machine has 2" in refused(capsys, "power", "--gpu", "7", *asked)


def test_without_a_gpu_it_is_told_what_is_needed(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as where it is not installed

    assert "NVML finds no GPU here: it needs an NVIDIA GPU" in refused(capsys, "power")


@pytest.fixture
def measured(tmp_path):
    path = tmp_path / "measured.csv"
    path.write_text(
        "power_cap_w,batch_size,examples_per_s,joules_per_example\n"
        "400,1024,1000,0.39\n250,1024,920,0.266\n150,1024,700,0.211\n,256,400,0.5\n"
    )
    return path


@pytest.mark.parametrize(
    ("options", "cap"),
    [
        ([], 250),
        (["--slower", "0.5"], 150),
        (["--examples", "7000", "--within", "10s"], 150),
        (["--examples", "7001", "--within", "10s"], 250),
    ],
)
def test_advice_is_the_cheapest_setting_that_is_fast_enough(
    measured, options, cap, tmp_path, capsys
):
    main(["cluster", "advise", str(measured), *options, "--json", str(tmp_path / "advice.json")])

    assert json.loads((tmp_path / "advice.json").read_text())["power_cap_w"] == cap
    assert capsys.readouterr().out.count("<-") == 1


def test_advice_on_what_cannot_be_read_or_done_is_refused(measured, tmp_path, capsys):
    late = ["--examples", "1e6", "--within", "10s"]
    assert "No setting trains 1e+06 examples within 10 s" in refused(
        capsys, "advise", str(measured), *late
    )
    assert "go together" in refused(capsys, "advise", str(measured), "--examples", "9")
    bad = tmp_path / "bad.csv"
    for rows, why in (
        ("batch_size\n7\n", "Line 2 of"),
        ("batch_size,examples_per_s,joules_per_example\n7,0,1\n", "must be positive"),
        ("batch_size,examples_per_s,joules_per_example\n", "`measured` is empty"),
    ):
        bad.write_text(rows)
        assert why in refused(capsys, "advise", str(bad))
