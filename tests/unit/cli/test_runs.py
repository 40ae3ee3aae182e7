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


def test_runs_alone_lists_them(capsys):
    main(["runs"])

    assert SECOND in capsys.readouterr().out


def test_list_can_be_narrowed(capsys, tmp_path):
    main(["runs", "list", "--status", "succeeded", "--last", "1", "--json", str(tmp_path / "o")])
    main(["runs", "list", "--notebook", "serve"])

    assert [row["run"] for row in json.loads((tmp_path / "o").read_text())] == [SECOND]
    assert "like that" in capsys.readouterr().out


def test_a_damaged_run_is_listed_and_the_damage_told(capsys, runs):
    (runs / FIRST / "manifest.json").write_text("{")

    main(["runs", "list"])

    printed = capsys.readouterr()
    assert "damaged" in printed.out
    assert f"{FIRST}/manifest.json` is not a manifest" in printed.err


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


def test_compare_takes_more_than_two_and_shows_all_on_request(capsys):
    main(["runs", "compare", FIRST, SECOND, "333333", "--all"])

    lines = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    rows = {line[1].strip(): [cell.strip() for cell in line[2:-1]] for line in lines if line[1:]}
    assert rows["k"] == ["10", "20", "20"]
    assert rows["seed"] == ["7", "7", "7"]
    assert rows["ndcg@20/known"] == ["0.1", "0.25", ""]


def test_prune_says_what_would_go_and_then_removes_it(capsys, runs, monkeypatch):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(runs / "workspace"))
    size = sum(path.stat().st_size for path in (runs / FIRST).rglob("*"))

    main(["runs", "prune", "--keep", "2", "--dry-run"])
    told = capsys.readouterr().out
    assert (runs / FIRST).is_dir()

    main(["runs", "prune", "--keep", "2", "--json", str(runs / "out.json")])

    assert f"{FIRST} would go: 0.0 MB ({size:,} bytes)" in told
    assert f"{FIRST} is removed: 0.0 MB ({size:,} bytes)" in capsys.readouterr().out
    assert not (runs / FIRST).exists()
    assert (runs / SECOND).is_dir()
    assert json.loads((runs / "out.json").read_text()) == {
        "removed": [{"run": FIRST, "bytes": size}],
        "spared": {},
        "dry_run": False,
    }


def test_prune_by_age_says_when_there_is_nothing(capsys, runs, monkeypatch):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(runs / "workspace"))

    main(["runs", "prune", "--older-than", "36500d"])

    assert capsys.readouterr().out == "Nothing to remove\n"


@pytest.mark.parametrize("arguments", [[], ["--keep", "-1"], ["--older-than", "soon"]])
def test_prune_without_a_sensible_rule_exits_2(runs, monkeypatch, arguments):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(runs / "workspace"))

    with pytest.raises(SystemExit) as leaving:
        main(["runs", "prune", *arguments])

    assert leaving.value.code == 2
    assert (runs / FIRST).is_dir()


@pytest.fixture
def offline(runs):
    """What W&B left of two runs; the first is still running."""
    manifest = Manifest.read(runs / FIRST)
    manifest.status, manifest.process = "running", process_facts()
    manifest.write(runs / FIRST)
    for name in (FIRST, SECOND):
        part = runs / name / "wandb" / f"offline-run-{name}"
        part.mkdir(parents=True)
        (part / "run.wandb").write_bytes(b"header and more")
    return runs


def test_sync_sends_what_has_ended(offline, capsys, monkeypatch):
    parts = []
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr("recbench.tracking.sync.send", parts.append)

    main(["runs", "sync"])

    assert parts == [offline / SECOND / "wandb" / f"offline-run-{SECOND}"]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{FIRST} is still running", f"{SECOND}: sent"]


def test_sync_that_fails_exits_1_and_says_why(offline, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr("recbench.tracking.sync.send", lambda _: "nobody answers")

    with pytest.raises(SystemExit) as leaving:
        main(["runs", "sync", SECOND])

    assert leaving.value.code == 1
    printed = capsys.readouterr()
    assert f"{SECOND}: not sent: nobody answers" in printed.out
    assert "1 of 1 were not sent; they are kept as they are" in printed.err


def test_sync_without_a_key_exits_2(offline, capsys, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(offline))

    with pytest.raises(SystemExit) as leaving:
        main(["runs", "sync"])

    assert leaving.value.code == 2
    assert "There is no W&B key for api.wandb.ai" in capsys.readouterr().err


def test_sync_of_nothing_needs_no_key(capsys):
    main(["runs", "sync"])

    assert capsys.readouterr().out == "Nothing to send\n"


def test_an_unknown_run_exits_2(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["runs", "show", "nothing"])

    assert leaving.value.code == 2
    assert "There is no run `nothing`" in capsys.readouterr().err
