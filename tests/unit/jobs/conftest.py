"""One successful run, shared: a kernel takes seconds to start; and processes that start at once."""

from multiprocessing import forkserver, get_context

import pytest

from recbench.jobs.listener import Listener
from recbench.jobs.run import run_notebook


class Heard(Listener):
    """Keeps what it is told."""

    def __init__(self):
        self.cells, self.output, self.attempts = [], "", []

    def on_attempt(self, number, place):
        self.attempts.append((number, place))

    def on_cell(self, cell, n_cells):
        self.cells.append((cell, n_cells))

    def on_output(self, text):
        self.output += text


CODES = [
    "print('k is', k)\nimport os\nprint(os.environ['RECBENCH_WORKSPACE'])",
    "from matplotlib.figure import Figure\nfrom recbench import tracking\n"
    "figure = Figure()\n_ = figure.subplots().plot([1, 2], [3, 4])\n"
    "tracking.save_figure(figure, 'curve')\nfigure",
    "import polars as pl\n"
    "tracking.log_metrics({'loss': 0.5}, step=1)\n"
    "tracking.log_summary({'ndcg@20': {'known': {'value': 0.25}}},\n"
    "    tables={'ranking': pl.DataFrame({'model': ['itemknn'], 'ndcg': [0.25]})},\n"
    "    data={'name': 'tiny', 'version': 3})",
]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, write_notebook):
    """A run with k=5 that recorded everything, and what was told while it ran."""
    home = tmp_path_factory.mktemp("finished {run}")
    notebook = write_notebook(home / "tiny.ipynb", *CODES, parameters="k = 3\nseed = 7\nrate = 0.5")
    heard = Heard()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.setenv("WANDB_MODE", "offline")
        result = run_notebook(
            notebook,
            {"k": 5},
            runs=home / "runs",
            workspace=home / "workspace",
            listener=heard,
        )
    return result, heard


@pytest.fixture(scope="session")
def forking():
    """The multiprocessing context of a server that has imported all of a search, and forks.

    To import it takes a process longer than such a search takes. What is forked has the environment
    of this moment.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["distributed", "recbench.jobs.search", "recbench.training.fit"])
    forkserver.ensure_running()
    return context


@pytest.fixture
def untracked(monkeypatch):
    """No W&B."""
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
