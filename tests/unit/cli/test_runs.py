import json

import polars as pl
import pytest

from recbench.cli import main
from recbench.jobs.manifest import Manifest, process_facts

FIRST, SECOND = "20260101T000000Z-train-111111", "20260102T000000Z-train-222222"


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """Two finished runs and one whose process has gone."""
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path))
    dead = process_facts() | {"started": 0.0}
    for name, k, ndcg, status in [
        (FIRST, 10, 0.1, "succeeded"),
        (SECOND, 20, 0.25, "succeeded"),
        ("20260103T000000Z-train-333333", 20, None, "running"),
    ]:
        (tmp_path / name).mkdir()
        Manifest(
            run=name,
            notebook="/n/train.ipynb",
            notebook_sha256="0",
            parameters={"k": k, "seed": 7},
            status=status,
            started_at="2026-01-01T00:00:00+00:00",
            environment={"packages": {"polars": f"2.{k}"}},
            process=dead,
        ).write(tmp_path / name)
        if ndcg is not None:
            content = {"ndcg@20": {"known": ndcg}}
            (tmp_path / name / "metrics.json").write_text(json.dumps(content))
    (tmp_path / SECOND / "tables").mkdir()
    pl.DataFrame({"model": ["itemknn"]}).write_parquet(tmp_path / SECOND / "tables/ranking.parquet")
    return tmp_path


def test_list_shows_every_run_and_tells_the_killed_one(capsys, tmp_path):
    main(["runs", "list", "--json", str(tmp_path / "out.json")])

    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == [
        "succeeded",
        "succeeded",
        "killed",
    ]
    assert json.loads((tmp_path / "out.json").read_text())[2]["status"] == "killed"


def test_list_of_nothing_says_where_it_looked(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path / "none"))

    main(["runs", "list"])

    assert capsys.readouterr().out == f"No runs below {tmp_path / 'none'}\n"


def test_show_prints_parameters_metrics_and_tables(capsys, tmp_path):
    main(["runs", "show", "222222", "--json", str(tmp_path / "out.json")])

    output = capsys.readouterr().out
    assert all(text in output for text in ("succeeded", "ndcg@20/known", "0.25", "itemknn"))
    shown = json.loads((tmp_path / "out.json").read_text())
    assert shown["parameters"] == {"k": 20, "seed": 7}
    assert shown["metrics"] == {"ndcg@20/known": 0.25}


def test_show_says_why_a_run_failed(capsys, runs):
    manifest = Manifest.read(runs / FIRST)
    manifest.status, manifest.error = "failed", "cell 3: KeyError: 'x'"
    manifest.write(runs / FIRST)

    main(["runs", "show", FIRST])

    assert capsys.readouterr().out.rstrip().endswith("cell 3: KeyError: 'x'")


def test_show_takes_a_session_without_a_job(capsys, runs):
    (runs / "x-interactive-444444").mkdir()
    (runs / "x-interactive-444444" / "metrics.json").write_text('{"ndcg": 0.5}')

    main(["runs", "show", "444444"])

    assert "interactive" in capsys.readouterr().out


def test_compare_names_what_differs_only(capsys, tmp_path):
    main(["runs", "compare", FIRST, SECOND, "--json", str(tmp_path / "out.json")])

    assert json.loads((tmp_path / "out.json").read_text()) == {
        "parameters": {"k": [10, 20]},
        "data": {},
        "surroundings": {"polars": ["2.10", "2.20"]},
        "metrics": {"ndcg@20/known": [0.1, 0.25]},
        "links": {},
    }
    output = capsys.readouterr().out
    assert "parameters: 1 differ" in output
    assert "seed" not in output


def test_an_unknown_run_exits_2(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["runs", "show", "nothing"])

    assert leaving.value.code == 2
    assert "There is no run `nothing`" in capsys.readouterr().err
