import json
import subprocess
import sys
import types

import psutil
import pytest

from recbench import tracking
from recbench.tracking import record
from recbench.tracking.wandb_run import Description, WandbRun


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
from contextlib import suppress
import psutil
from recbench import tracking
tracking.log_metrics({"loss": 0.5}, step=1)
for child in psutil.Process().children(recursive=True):
    with suppress(psutil.NoSuchProcess):  # it ends with the one before
        child.kill()
        child.wait(120)
tracking.log_metrics({"loss": 0.25}, step=2)
tracking.log_summary({"ndcg": 0.1})
"""

HANG_SERVICE = """
import signal
import psutil
from recbench import tracking
from recbench.tracking import wandb_run
tracking.log_metrics({"loss": 0.5}, step=1)
for child in psutil.Process().children(recursive=True):
    child.send_signal(signal.SIGSTOP)
    print(child.pid)
wandb_run.FINISH_LIMIT_S = 1.0
tracking.log_summary({"ndcg": 0.1})
"""


def ran(**methods):
    """What ``wandb.init`` gives, as far as it is called."""
    nothing = {"log": lambda _: None, "define_metric": lambda *_, **__: None}
    return types.SimpleNamespace(**nothing | methods)


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


@pytest.mark.parametrize(("attempts", "id_"), [([], "run"), ([{}], "run-2")])
def test_a_run_is_described_by_its_manifest(folder, monkeypatch, attempts, id_):
    import wandb

    manifest = {
        "run": "run",
        "notebook": "/n/train.ipynb",
        "parameters": {"k": 5},
        "parent": "p",
        "group": "p",
        "code": {"commit": "c1"},
        "attempts": attempts,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    asked = {}
    monkeypatch.setattr(wandb, "init", lambda **options: asked.update(options) or ran())

    record._Recorder.current().wandb._started()

    assert (asked["id"], asked["name"], asked["dir"]) == (id_, "run", folder)
    assert (asked["group"], asked["job_type"]) == ("p", "train")
    assert asked["config"]["k"] == 5
    assert asked["config"]["run"] == {
        "run": "run",
        "group": "p",
        "parent": "p",
        "notebook": "train",
        "attempt": len(attempts) + 1,
        "folder": str(folder),
        "commit": "c1",
    }


def test_with_a_key_a_run_is_offline_all_the_same(tmp_path, monkeypatch):
    import wandb

    modes = []
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(
        wandb, "init", lambda *, settings, **_: modes.append(settings.mode) or ran()
    )

    WandbRun(tmp_path, Description())._started()

    assert modes == ["offline"]


def test_asked_to_be_online_a_run_falls_back_when_nobody_answers(tmp_path, monkeypatch, capsys):
    import wandb

    modes = []

    def init(*, settings, **_):
        modes.append(settings.mode)
        if settings.mode == "online":
            raise wandb.errors.CommError("no route")
        return ran()

    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "init", init)
    run = WandbRun(tmp_path, Description())

    run.log({"loss": 1.0}, step=None)

    assert modes == ["online", "offline"]
    assert run.state == "offline"
    assert "cannot be reached" in capsys.readouterr().err


def test_a_hung_service_neither_holds_the_run_up_nor_its_exit(folder, monkeypatch):
    monkeypatch.delenv("WANDB_SERVICE", raising=False)  # one of this process's own
    done = subprocess.run(
        [sys.executable, "-c", HANG_SERVICE], capture_output=True, text=True, timeout=240
    )

    assert done.returncode == 0
    assert "W&B failed: TimeoutError: no answer within 1 s; the run goes on" in done.stderr
    stopped = {int(line) for line in done.stdout.split()}
    assert stopped
    left = [process for process in psutil.process_iter() if process.pid in stopped]
    _, alive = psutil.wait_procs(left, timeout=120)  # whoever adopts them clears them away
    assert not alive
    assert json.loads((folder / "metrics.json").read_text()) == {"ndcg": 0.1}
    assert state(folder) == "failed: TimeoutError: no answer within 1 s"


def test_a_run_that_was_closed_as_failed_is_not_finished_again(tmp_path, monkeypatch):
    import wandb

    ends = []
    monkeypatch.setattr(wandb, "init", lambda **_: ran(finish=lambda **how: ends.append(how)))
    run = WandbRun(tmp_path, Description())
    run.log({"loss": 1.0}, step=None)

    run.fail()
    run.finish({"ndcg": 0.1})

    assert ends == [{"exit_code": 1}]


def test_a_run_that_never_started_is_not_started_to_fail(tmp_path):
    run = WandbRun(tmp_path, Description())

    run.fail()

    assert run.state == "not started"


def test_importing_tracking_does_not_import_wandb():
    code = "import sys, recbench.tracking; sys.exit('wandb' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
