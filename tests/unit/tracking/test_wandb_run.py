import json
import subprocess
import sys
import types

import pytest

from recbench import tracking
from recbench.tracking import record, wandb_run
from recbench.tracking.wandb_run import WandbRun


@pytest.fixture(autouse=True)
def _no_account(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "RECBENCH_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(record._Recorder, "_current", None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a job with one parameter, in this process."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"parameters": {"k": 5}}))
    monkeypatch.setenv("RECBENCH_RUN_DIR", str(folder))
    return folder


KILL_SERVICE = """
import psutil
from recbench import tracking
tracking.log_metrics({"loss": 0.5}, step=1)
for child in psutil.Process().children(recursive=True):
    child.kill()
    child.wait(5)
tracking.log_metrics({"loss": 0.25}, step=2)
tracking.log_summary({"ndcg": 0.1})
"""


def state(folder):
    return json.loads((folder / "tracking.json").read_text())["tracking"]["wandb"]


def test_without_a_key_the_run_is_kept_offline(folder):
    tracking.log_metrics({"loss": 0.5}, step=1)
    tracking.log_summary({"ndcg": 0.1})

    assert state(folder) == "offline"
    (kept,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    assert kept.stat().st_size > 0


def test_tracking_switched_off_starts_nothing(folder, monkeypatch):
    monkeypatch.setenv("RECBENCH_TRACKING", "off")

    tracking.log_summary({"ndcg": 0.1})

    assert state(folder) == "off"
    assert not (folder / "wandb").exists()


def test_a_killed_service_loses_nothing_of_ours(folder, monkeypatch):
    monkeypatch.delenv("WANDB_SERVICE", raising=False)  # one of this process's own
    done = subprocess.run(
        [sys.executable, "-c", KILL_SERVICE], capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0
    assert done.stderr.count("the run goes on") == 1
    assert json.loads((folder / "metrics.json").read_text()) == {"ndcg": 0.1}
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    assert state(folder).startswith("failed: Connection")


def test_a_folder_that_wandb_cannot_use_loses_nothing_of_ours(folder, capsys):
    (folder / "wandb").write_text("in the way")

    tracking.log_summary({"ndcg": 0.1})

    assert json.loads((folder / "metrics.json").read_text()) == {"ndcg": 0.1}
    assert state(folder).startswith("failed: FileExistsError")
    assert "the run goes on" in capsys.readouterr().err


def test_the_configuration_is_the_parameters(folder, monkeypatch):
    import wandb

    asked = {}
    monkeypatch.setattr(wandb, "init", lambda **options: asked.update(options))

    record._Recorder.current().wandb._started()

    assert asked["config"] == {"k": 5}
    assert asked["name"] == folder.name
    assert asked["dir"] == folder


def test_with_a_key_the_run_is_online_and_falls_back_when_nobody_answers(
    tmp_path, monkeypatch, capsys
):
    import wandb

    modes = []

    def init(*, settings, **_):
        modes.append(settings.mode)
        if settings.mode == "online":
            raise wandb.errors.CommError("no route")
        return types.SimpleNamespace(log=lambda *_, **__: None)

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb, "init", init)
    run = WandbRun(tmp_path, {})

    run.log({"loss": 1.0}, step=None)

    assert modes == ["online", "offline"]
    assert run.state == "offline"
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(("host", "found"), [("api.wandb.ai", True), ("example.org", False)])
def test_a_key_may_lie_in_netrc(tmp_path, host, found):
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine {host} login user password {'0' * 40}\n")
    netrc.chmod(0o600)

    assert wandb_run._has_key() is found


def test_importing_tracking_does_not_import_wandb():
    code = "import sys, recbench.tracking; sys.exit('wandb' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
