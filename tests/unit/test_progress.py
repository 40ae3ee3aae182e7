"""One style of bars, and what of them stays in a log."""

import io
from pathlib import Path

from recbench.jobs import execute
from recbench.jobs.listener import SILENT
from recbench.progress import bar

PACKAGE = Path(__file__).parents[2] / "recbench"


def test_every_bar_is_made_in_one_place():
    users = [path for path in PACKAGE.rglob("*.py") if "import tqdm" in path.read_text()]
    drawn = {path.relative_to(PACKAGE).as_posix() for path in users if "tqdm(" in path.read_text()}

    assert drawn == {"progress.py"}


def test_a_bar_is_plain_and_fits_a_line():
    stream = io.StringIO()
    with bar(3, label="rounds", unit="round", stream=stream) as done:
        done.update(3)

    shown = stream.getvalue().split("\r")[-1].strip()
    assert shown.startswith("rounds: 100%|##")
    assert "3/3" in shown
    assert len(shown) <= 80
    assert shown.isascii()


def test_a_log_has_a_line_of_a_bar_not_every_drawing(monkeypatch):
    log = io.StringIO()
    output = execute._Output(log, SILENT)
    monkeypatch.setattr(execute, "BAR_EVERY_S", 3600.0)
    output._bar_at = execute.time.monotonic()
    for text in ("begun\n", "\rfit:  1%", "\rfit: 50%", "\rfit: 100%", "\n", "\rlast", "\rend"):
        output.write(text)
    output.close()

    assert log.getvalue() == "begun\nfit: 100%\nend"


def test_a_long_bar_leaves_a_line_now_and_then(monkeypatch):
    log = io.StringIO()
    output = execute._Output(log, SILENT)
    monkeypatch.setattr(execute, "BAR_EVERY_S", 0.0)
    for text in ("\rfit:  1%", "\rfit: 50%", "\rfit: 99%"):
        output.write(text)

    assert log.getvalue() == "fit:  1%\nfit: 50%\n"
