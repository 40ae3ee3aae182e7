"""``recbench lab``: JupyterLab on the notebooks."""

import importlib.util
import os
import sys
from pathlib import Path

import click

from recbench.errors import InputError
from recbench.settings import notebooks_path, runs_path, workspace_path

__all__ = ["lab"]

START = "00_start.ipynb"  # the page that it opens on, where the folder has it
SETTINGS = Path(__file__).parent / "jupyter"  # no question about news, no look for updates

OURS = "recbench.jobs.lab_scheduler"  # what JupyterLab's scheduler runs jobs with
SERVER = "recbench.jobs.lab_server"


@click.command()
@click.option("--port", default=8888, show_default=True, help="The next free one if it is taken.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def lab(*, port: int, no_browser: bool) -> None:
    """JupyterLab on the notebooks, on this machine only.

    Notebooks opened here read and write the workspace and the runs of the current folder. Jobs that
    its scheduler runs are runs like those of `recbench run`; what they leave lies below `jobs`.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise InputError(
            "JupyterLab is not installed; install the extra: pip install 'recbench[lab]'"
        )
    folder = notebooks_path().absolute()
    if not folder.is_dir():
        raise InputError(f"There is no folder `{folder}`; set RECBENCH_NOTEBOOKS")
    # Kernels start in the notebooks' folder: what is relative to ours must be spelled out.
    os.environ["RECBENCH_WORKSPACE"] = str(workspace_path().absolute())
    os.environ["RECBENCH_RUNS"] = str(runs_path().absolute())
    os.environ["RECBENCH_NOTEBOOKS"] = folder_name = str(folder)
    # so that `recbench` is found in the lab's terminals
    beside = Path(sys.executable).parent
    os.environ["PATH"] = f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    scheduling = workspace_path().absolute() / "lab"
    scheduling.mkdir(parents=True, exist_ok=True)
    own = os.environ.get("JUPYTER_CONFIG_PATH")
    os.environ["JUPYTER_CONFIG_PATH"] = f"{SETTINGS}{os.pathsep}{own}" if own else str(SETTINGS)
    os.execv(sys.executable, _command(folder_name, scheduling, port=port, no_browser=no_browser))


def _command(folder: str, scheduling: Path, *, port: int, no_browser: bool) -> list[str]:
    command = [
        sys.executable,
        "-m",
        SERVER,
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.allow_root=True",  # containers; only this machine can reach it, with a token
        f"--SchedulerApp.db_url=sqlite:///{scheduling / 'jobs.sqlite'}",
        f"--SchedulerApp.scheduler_class={OURS}.JobScheduler",
        f"--SchedulerApp.environment_manager_class={OURS}.JobEnvironments",
        f"--BaseScheduler.staging_path={scheduling / 'staging'}",
        # not a login shell, as it would be without a terminal here: /etc/profile resets PATH
        f"--ServerApp.terminado_settings=shell_command=['{os.environ.get('SHELL') or 'sh'}']",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if (Path(folder) / START).exists():
        command.append(f"--LabApp.default_url=/lab/tree/{START}")
    return [*command, "--no-browser"] if no_browser else command
