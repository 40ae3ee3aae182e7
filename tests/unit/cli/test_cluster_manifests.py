"""`recbench cluster manifests`."""

from pathlib import Path

import pytest
import yaml

from recbench.cli import main
from recbench.cluster.kubernetes import schemas

KEPT = Path(__file__).resolve().parents[3] / "environments" / "k8s"


def manifests(*arguments):
    main(["cluster", "manifests", *map(str, arguments)])


def test_what_is_kept_in_the_repository_is_what_the_defaults_give(tmp_path):
    manifests("--out", tmp_path)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    kept = {file.name: file.read_text() for file in KEPT.glob("*.yaml")}
    assert made == kept, "run: recbench cluster manifests --out environments/k8s"


def test_check_passes_where_nothing_differs_and_writes_nothing(tmp_path, capsys):
    manifests("--out", tmp_path / "k8s")
    (tmp_path / "k8s" / "README.md").write_text("no manifest, so nobody's business")
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "k8s").iterdir()}
    manifests("--out", tmp_path / "k8s", "--check")
    assert "6 files in" in capsys.readouterr().out
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "k8s").iterdir()} == before


def test_check_names_what_differs_and_exits_with_one(tmp_path, capsys):
    manifests("--out", tmp_path)
    (tmp_path / "jobs.yaml").write_text("")
    (tmp_path / "serve.yaml").unlink()
    with pytest.raises(SystemExit) as leaving:
        manifests("--out", tmp_path, "--check")
    assert leaving.value.code == 1
    said = capsys.readouterr().err
    assert "jobs.yaml is not what these options give" in said
    assert "serve.yaml is not" in said
    assert "cluster.yaml" not in said
    assert not (tmp_path / "serve.yaml").exists()


def test_every_option_reaches_the_manifests(tmp_path):
    chosen = {
        "--image": "registry.example/mine:7",
        "--namespace": "mynamespace",
        "--name": "mycluster",
        "--minimum": "3",
        "--maximum": "33",
        "--scaled": "gpu",
        "--rule": "deadlines",
        "--other-workers": "44",
        "--worker-cpu": "5",
        "--worker-memory": "11Gi",
        "--gpu-worker-cpu": "7",
        "--gpu-worker-memory": "13Gi",
        "--table": "lake/clicks/events",
        "--refresh": "1-59/20 * * * *",
        "--refresh-deadline-s": "1111",
        "--rebuild": "44 4 * * *",
        "--rebuild-deadline-s": "2222",
        "--time-zone": "Europe/Berlin",
        "--claim": "myclaim",
        "--storage": "17Gi",
        "--storage-class": "myclass",
        "--token-secret": "mytoken",
        "--wandb-secret": "mywandb",
        "--operator-namespace": "myoperator",
    }
    manifests("--out", tmp_path, *(part for pair in chosen.items() for part in pair))
    text = "".join(file.read_text() for file in tmp_path.iterdir())
    objects = [each for file in tmp_path.iterdir() for each in yaml.safe_load_all(file.read_text())]
    (cluster,) = [each for each in objects if each["kind"] == "DaskCluster"]
    assert "nvidia.com/gpu" in str(cluster["spec"]["worker"])
    assert "mine-serve:7" in text
    for option, value in chosen.items():
        assert option in {"--image", "--scaled", "--rule"} or value in text, option


def test_an_option_that_kubernetes_would_not_take_exits_with_two(tmp_path, capsys):
    with pytest.raises(SystemExit) as leaving:
        manifests("--out", tmp_path, "--image", "recbench")
    assert leaving.value.code == 2
    assert "`image` needs a tag, got 'recbench'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_a_schema_refuses_is_not_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(schemas, "problems", lambda manifest: [f"{manifest['kind']}: is odd"])
    with pytest.raises(SystemExit) as leaving:
        manifests("--out", tmp_path)
    assert leaving.value.code == 2
    assert "jobs.yaml: CronJob: is odd" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_a_folder_the_kept_files_are_meant(monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parents[3])
    manifests("--check")

    assert "in environments/k8s are what these options give" in capsys.readouterr().out
