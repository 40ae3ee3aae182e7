"""The command group: names, one-line help, exit codes."""

import errno
import importlib
import sys

import click

from recbench import __version__
from recbench.errors import DownloadError, InputError, JobError

__all__ = ["main"]

# command -> (module below recbench.cli, its attribute, one-line help)
COMMANDS = {
    "data": ("data", "data", "What data sets there are; get one; describe one."),
    "run": ("run", "run", "Run a notebook as a job; prints the run's folder last."),
    "sweep": ("sweep", "sweep", "The best of a notebook's parameters, a job a trial."),
    "schedule": ("schedule", "schedule", "Notebooks by the clock."),
    "runs": ("runs", "runs", "List, compare, prune and sync runs."),
    "ingest": ("ingest", "ingest", "Kafka to the lake, exactly once."),
    "follow": ("follow", "follow", "Keep the online features up to date with a topic."),
    "join": ("join", "join", "Exposures and actions of the lake to training examples."),
    "replay": ("replay", "replay", "A data set to Kafka, at a chosen speed."),
    "recommend": ("recommend", "recommend", "Lists for users, from a release."),
    "score": ("recommend", "score", "Scores for user-item pairs, from a release."),
    "serve": ("serve", "serve", "Lists and scores over HTTP."),
    "evaluate": ("evaluate", "evaluate", "Judge any Parquet file of recommendations."),
    "freshness": ("freshness", "freshness", "How fresh is fresh enough for a log, at which cost."),
    "ope": ("ope", "ope", "What policies would have earned, from a log of another one."),
    "policy": ("policy", "policy", "Bandits that learn from a stream what a service shows."),
    "releases": ("releases", "releases", "List, show, publish and roll back releases."),
    "cluster": ("cluster", "cluster", "Manifests, capacity plan and simulation of a cluster."),
    "world": ("world", "world", "Experiments in a simulated short-video world."),
    "bench": ("bench", "bench", "Measure a part beside a reference in the same run."),
    "lab": ("lab", "lab", "JupyterLab on the notebooks."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(
            importlib.import_module(f"recbench.cli.{module}"), attribute
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="recbench")
def _group() -> None:
    """recbench: a research workbench for near-real-time recommenders.

    RECBENCH_WORKSPACE (default ./workspace) holds the lake and the registry.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command; exit 0 on success, 2 on bad input, 1 on any other failure, 130 on Ctrl-C."""
    try:
        code = _group.main(arguments, prog_name="recbench", standalone_mode=False)
        if isinstance(code, int) and code:  # of a command that called ctx.exit(code)
            sys.exit(code)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("Interrupted; nothing half-written is left", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except InputError as error:
        _fail(str(error), 2)
    except (DownloadError, JobError) as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(_explained(error), 1)


def _explained(error: OSError) -> str:
    place = f" at `{error.filename}`" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"The disk is full{place}; free some space and run the same command again"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return (
            f"No permission{place}; choose another folder (RECBENCH_WORKSPACE) or change its rights"
        )
    return f"{error.strerror or error}{place}"


def _fail(message: str, code: int) -> None:
    click.echo(f"recbench: {message}", err=True)
    sys.exit(code)
