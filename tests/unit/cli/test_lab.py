import importlib.util
import os
import sys
from pathlib import Path

import pytest

from recbench.cli import main


@pytest.fixture
def executed(tmp_path, monkeypatch):
    """What `lab` would become, instead of becoming it; one notebook lies in its folder."""
    calls = []
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "a.ipynb").touch()
    monkeypatch.setenv("PATH", os.environ["PATH"])  # to be restored
    for name in ("WORKSPACE", "RUNS", "NOTEBOOKS"):
        monkeypatch.setenv(f"RECBENCH_{name}", "to be restored")
        monkeypatch.delenv(f"RECBENCH_{name}")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "to be restored")
    monkeypatch.delenv("JUPYTER_CONFIG_PATH")
    monkeypatch.setattr(os, "execv", lambda path, command: calls.append((path, command)))
    return calls


def test_lab_opens_the_notebooks_on_this_machine_only(executed, tmp_path):
    main(["lab", "--port", "9999", "--no-browser"])

    ((path, command),) = executed
    assert path == sys.executable
    assert command[:3] == [sys.executable, "-m", "recbench.jobs.lab_server"]
    assert f"--ServerApp.root_dir={tmp_path / 'notebooks'}" in command
    assert {"--ServerApp.ip=127.0.0.1", "--ServerApp.port=9999", "--no-browser"} <= set(command)
    assert {"--LabApp.news_url=None", "--ServerApp.allow_root=True"} <= set(command)


def test_lab_opens_on_the_first_notebook_where_there_is_one(executed, tmp_path):
    main(["lab"])
    (tmp_path / "notebooks" / "00_start.ipynb").touch()
    main(["lab"])

    (_, without), (_, with_it) = executed
    assert not [word for word in without if "default_url" in word]
    assert "--LabApp.default_url=/lab/tree/00_start.ipynb" in with_it


def test_terminals_of_the_lab_find_recbench(executed, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/zsh")
    main(["lab"])

    # no login shell: /etc/profile would forget the PATH
    assert "--ServerApp.terminado_settings=shell_command=['/bin/zsh']" in executed[0][1]
    assert os.environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_lab_opens_a_browser_unless_told(executed):
    main(["lab"])

    assert "--no-browser" not in executed[0][1]


def test_notebooks_keep_using_the_workspace_and_runs_of_this_folder(executed, tmp_path):
    main(["lab"])

    assert os.environ["RECBENCH_WORKSPACE"] == str(tmp_path / "workspace")
    assert os.environ["RECBENCH_RUNS"] == str(tmp_path / "papermill_runs")
    assert os.environ["RECBENCH_NOTEBOOKS"] == str(tmp_path / "notebooks")


def test_settings_of_ones_own_stay(executed, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/mine")

    main(["lab"])

    ours, mine = os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert mine == "/mine"
    assert (Path(ours) / "labconfig" / "default_setting_overrides.json").exists()


def test_without_jupyterlab_the_extra_is_named(executed, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(SystemExit) as leaving:
        main(["lab"])

    assert leaving.value.code == 2
    assert "pip install 'recbench[lab]'" in capsys.readouterr().err
    assert executed == []


def test_a_missing_folder_of_notebooks_is_refused(executed, monkeypatch, capsys):
    monkeypatch.setenv("RECBENCH_NOTEBOOKS", "nowhere")

    with pytest.raises(SystemExit) as leaving:
        main(["lab"])

    assert leaving.value.code == 2
    assert "There is no folder `" in capsys.readouterr().err
