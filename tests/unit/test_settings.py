from pathlib import Path

import pytest

from recbench import settings


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current folder, nothing set."""
    monkeypatch.chdir(tmp_path)
    for name in ("WORKSPACE", "RUNS", "NOTEBOOKS"):
        monkeypatch.delenv(f"RECBENCH_{name}", raising=False)
    return tmp_path


def test_everything_lies_below_the_current_folder_unless_told():
    assert settings.workspace_path() == Path("workspace")
    assert settings.runs_path() == Path("papermill_runs")


@pytest.mark.parametrize("name", ["workspace", "runs", "notebooks"])
def test_the_environment_names_another_place(monkeypatch, name):
    monkeypatch.setenv(f"RECBENCH_{name.upper()}", "/elsewhere")

    assert getattr(settings, f"{name}_path")() == Path("/elsewhere")


def test_notebooks_here_come_before_the_ones_beside_the_package(here):
    (here / "notebooks").mkdir()
    beside = settings.notebooks_path()
    (here / "notebooks" / "a.ipynb").touch()

    assert beside == Path(settings.__file__).parents[1] / "notebooks"
    assert settings.notebooks_path() == Path("notebooks")
