import json
import os
import shutil
import subprocess
import sys

import pytest

from recbench.errors import InputError
from recbench.tracking.sync import offline_runs, require_key, send

NAME = "20260101T000000Z-train-1a2b3c"
MANIFEST = {
    "run": NAME,
    "notebook": "/n/train.ipynb",
    "parameters": {"k": 5},
    "group": "20260101T000000Z-pipeline-0a0a0a",
    "parent": "20260101T000000Z-pipeline-0a0a0a",
    "code": {"commit": "c1"},
}
RECORD = """
import os
import sys
import time
from pathlib import Path
import polars as pl
from matplotlib.figure import Figure
from recbench import tracking
home = Path(sys.argv[1])
tracking.save_figure(Figure(), "curve")
tracking.log_metrics({"loss": 0.5}, step=0)
tracking.log_release("new", home / "new", parent=home / "old", facts={"data": "tiny"})
if sys.argv[2] == "killed":
    until = time.monotonic() + 200
    (kept,) = Path(os.environ["RECBENCH_RUN_DIR"]).glob("wandb/offline-run-*/run-*.wandb")
    while b"loss" not in kept.read_bytes() and time.monotonic() < until:
        time.sleep(0.2)
    os.kill(os.getpid(), 9)
table = pl.DataFrame({"model": ["a", "b"], "ndcg": [0.25, None]})
tracking.log_summary({"ndcg": {"known": 0.25}}, tables={"result": table}, data={"tiny": 3})
"""


def record(folder, *, end="by itself"):
    """A job that records into ``folder``, in a process of its own; its exit code."""
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    for release in ("old", "new"):
        (folder.parent / release).mkdir()
        (folder.parent / release / "manifest.json").write_text(json.dumps({"release": release}))
    environment = os.environ | {"RECBENCH_RUN_DIR": str(folder), "HOME": str(folder.parent)}
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_SERVICE", "RECBENCH_TRACKING"):
        environment.pop(name, None)
    command = [sys.executable, "-c", RECORD, str(folder.parent), end]
    return subprocess.run(command, env=environment, timeout=240).returncode


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder of a finished run, offline."""
    folder = tmp_path_factory.mktemp("kept") / NAME
    assert record(folder) == 0
    return folder


@pytest.fixture(scope="module")
def sent(kept, tmp_path_factory, wandb_server):
    """A copy of it that was sent; ``wandb_server`` saw how."""
    folder = shutil.copytree(kept, tmp_path_factory.mktemp("sent") / NAME)
    (part,) = offline_runs(folder)
    assert send(part) is None
    return folder


def asked(server, operation):
    """The variables of each such request."""
    return [variables for name, variables in server.asked if name == operation]


def streamed(server, name):
    """The lines of one of the files that a run streams."""
    parts = [each["files"][name] for each in server.streamed if name in each.get("files", {})]
    return [json.loads(line) for part in parts for line in part["content"]]


def test_a_run_is_sent_with_its_group_kind_and_configuration(sent, wandb_server):
    first, *_, last = asked(wandb_server, "UpsertBucket")

    assert first["name"] == first["displayName"] == NAME
    assert (first["groupName"], first["jobType"]) == (MANIFEST["group"], "train")
    assert last["tags"] == ["new"]
    config = {name: held["value"] for name, held in json.loads(last["config"]).items()}
    assert (config["k"], config["release"]) == (5, "new")
    assert config["run"]["commit"] == "c1"
    assert config["run"]["parent"] == MANIFEST["parent"]


def test_metrics_tables_figures_and_system_metrics_are_sent(sent, wandb_server):
    summary = streamed(wandb_server, "wandb-summary.json")[-1]

    assert summary["ndcg/known"] == 0.25
    assert summary["tables/result"]["nrows"] == 2
    history = streamed(wandb_server, "wandb-history.jsonl")
    assert [line["step"] for line in history if line.get("loss") == 0.5] == [0]
    system = streamed(wandb_server, "wandb-events.jsonl")
    assert any("system.proc.memory.rssMB" in line for line in system)
    assert any("media/images/figures/curve" in path for path in wandb_server.uploaded)
    assert {"complete": True, "exitcode": 0}.items() <= wandb_server.streamed[-1].items()


def test_what_was_read_and_made_are_its_inputs_and_outputs(sent, wandb_server):
    made = [variables["input"] for variables in asked(wandb_server, "CreateArtifact")]
    used = [variables["input"] for variables in asked(wandb_server, "UseArtifact")]

    by_alias = {alias["alias"]: each for each in made for alias in each["aliases"]}
    assert by_alias["new"]["artifactTypeName"] == "release"
    assert by_alias["new"]["runName"] == NAME
    assert by_alias["old"]["runName"] is None  # not this run's work
    assert by_alias["version-3"]["runName"] is None
    assert json.loads(by_alias["version-3"]["metadata"]) == {"name": "tiny", "version": 3}
    assert [each["runName"] for each in used] == [NAME, NAME]


def test_a_run_that_was_sent_is_not_sent_again(sent, wandb_server):
    n_asked = len(wandb_server.asked)
    (part,) = sent.glob("wandb/offline-run-*")

    assert offline_runs(sent) == []
    assert send(part) is None
    assert len(wandb_server.asked) == n_asked


@pytest.mark.slow  # W&B's service writes every ten seconds or so
def test_a_run_that_was_killed_is_sent_as_far_as_it_came_and_as_failed(tmp_path, wandb_server):
    folder = tmp_path / NAME
    assert record(folder, end="killed") == -9

    (part,) = offline_runs(folder)
    assert send(part) is None

    assert {"complete": True, "exitcode": 1}.items() <= wandb_server.streamed[-1].items()
    assert any(line.get("loss") == 0.5 for line in streamed(wandb_server, "wandb-history.jsonl"))


def test_where_nobody_answers_a_run_is_kept_for_the_next_time(kept, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    (part,) = offline_runs(kept)
    before = (part / f"run-{NAME}.wandb").read_bytes()

    assert send(part, limit_s=3.0) == "no success within 3 s"

    assert offline_runs(kept) == [part]
    assert (part / f"run-{NAME}.wandb").read_bytes() == before


def test_earlier_attempts_are_sent_first(tmp_path):
    for place, name in [("wandb", "offline-run-2-a"), ("attempts/1/wandb", "offline-run-1-a")]:
        part = tmp_path / place / name
        part.mkdir(parents=True)
        (part / "run-a.wandb").write_bytes(b"header and more")
    for name, content in [("offline-run-0-none", None), ("offline-run-3-killed", b":W&B\1\1\1")]:
        (tmp_path / "wandb" / name).mkdir()
        if content is not None:
            (tmp_path / "wandb" / name / "run-a.wandb").write_bytes(content[:7])

    assert [part.name for part in offline_runs(tmp_path)] == ["offline-run-1-a", "offline-run-2-a"]


def without_key(monkeypatch, home):
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))


def test_without_a_key_nothing_is_tried(tmp_path, monkeypatch):
    without_key(monkeypatch, tmp_path)

    with pytest.raises(InputError, match=r"no W&B key for api.wandb.ai: set WANDB_API_KEY or call"):
        require_key()


@pytest.mark.parametrize(("host", "found"), [("api.wandb.ai", True), ("example.org", False)])
def test_a_key_may_lie_in_netrc(tmp_path, monkeypatch, host, found):
    without_key(monkeypatch, tmp_path)
    (tmp_path / ".netrc").write_text(f"machine {host} login user password {'0' * 40}\n")
    (tmp_path / ".netrc").chmod(0o600)

    if found:
        require_key()
    else:
        with pytest.raises(InputError, match="no W&B key"):
            require_key()
