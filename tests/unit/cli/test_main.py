import errno
import subprocess
import sys

import click
import pytest

import recbench
from recbench.cli import main
from recbench.cli.main import COMMANDS
from recbench.errors import DownloadError, InputError, JobError

HEAVY = ("torch", "lightning", "wandb", "papermill", "nbformat", "matplotlib", "deltalake")


def imported_by(*arguments):
    """Which heavy packages a command's help needs, in a fresh interpreter."""
    code = (
        "import sys\nfrom recbench.cli import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit: pass\n"
        f"print('\\n' + ' '.join(n for n in {HEAVY!r} if n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


@pytest.fixture
def failing(monkeypatch):
    """Makes `recbench lab` raise what it is given; returns the exit code."""

    def fail(error):
        @click.command()
        def lab():
            raise error

        monkeypatch.setattr("recbench.cli.lab.lab", lab)
        with pytest.raises(SystemExit) as leaving:
            main(["lab"])
        return leaving.value.code

    return fail


def test_help_lists_every_command(capsys):
    main(["--help"])

    output = capsys.readouterr().out
    assert all(f"\n  {name} " in output for name in COMMANDS)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_needs_nothing_heavy(name):
    assert imported_by(*name.split(), "--help") == []


def test_version_is_told(capsys):
    main(["--version"])

    assert recbench.__version__ in capsys.readouterr().out


def test_an_unknown_command_exits_2(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["trian"])

    assert leaving.value.code == 2
    assert "trian" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("bad k"), 2, "recbench: bad k"),
        (JobError("cell 3 failed"), 1, "recbench: cell 3 failed"),
        (DownloadError("no source"), 1, "recbench: no source"),
        (OSError(errno.ENOSPC, "No space left", "/x"), 1, "The disk is full at `/x`"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "No permission at `/x`"),
        (OSError(errno.EIO, "Input/output error"), 1, "recbench: Input/output error"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (click.UsageError("one of two"), 2, "one of two"),
    ],
)
def test_what_went_wrong_is_said_and_told_by_the_exit_code(failing, capsys, error, code, message):
    assert failing(error) == code
    assert message in capsys.readouterr().err


def test_the_code_that_a_command_leaves_with_is_the_processs(monkeypatch):
    @click.command()
    @click.pass_context
    def lab(ctx):
        ctx.exit(3)

    monkeypatch.setattr("recbench.cli.lab.lab", lab)
    with pytest.raises(SystemExit) as leaving:
        main(["lab"])
    assert leaving.value.code == 3
