"""Options of what has the time: done within a while, begun in the cheapest hours of a tariff."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from recbench.cli.input import Duration
from recbench.settings import runs_path

__all__ = ["MayWait", "checked_wait", "within_options"]

Command = TypeVar("Command", bound=Callable[..., Any])
TARIFF = click.Path(exists=True, dir_okay=False, path_type=Path)


class MayWait(NamedTuple):
    """A run that has the time; ``takes_s`` None: as its latest runs."""

    within_s: float
    takes_s: float | None
    tariff: Path

    def measured_s(self, notebook: str) -> float:
        """What a run takes, as told or as lately.

        Raises:
            InputError: it was not told, and no run has succeeded yet.
        """
        from recbench.jobs.cheap_hours import usual_seconds

        return usual_seconds(notebook, runs_path()) if self.takes_s is None else self.takes_s


def within_options(command: Command) -> Command:
    """Adds --within, --takes and --tariff."""
    for option in (
        click.option(
            "--tariff",
            type=TARIFF,
            help="With --within: CSV of price and carbon by the hour; columns from, price, "
            "carbon_g_per_kwh, power_w.",
        ),
        click.option(
            "--takes",
            type=Duration(),
            help="With --within: how long the run takes; else as lately.",
        ),
        click.option(
            "--within",
            type=Duration(),
            help="It has the time: begin in the cheapest hours of --tariff that suffice to be done "
            "in it.",
        ),
    ):
        command = option(command)
    return command


def checked_wait(
    notebook: str, within: timedelta | None, takes: timedelta | None, tariff: Path | None
) -> MayWait | None:
    """What the options say of a notebook's run; None: it begins at once.

    Raises:
        InputError: the tariff cannot be read, or nobody knows how long a run takes.
        click.UsageError: one is given without the other.
    """
    if within is None and takes is None and tariff is None:
        return None
    if within is None or tariff is None:
        raise click.UsageError("Give --within and --tariff together; --takes goes with them")
    from recbench.cluster.tariff import read_tariff

    read_tariff(tariff)
    takes_s = None if takes is None else takes.total_seconds()
    wait = MayWait(within.total_seconds(), takes_s, tariff.absolute())
    _say_if_useless(wait, notebook)
    return wait


def _say_if_useless(wait: MayWait, notebook: str) -> None:
    from recbench.jobs.cheap_hours import least_within_s

    least_s = least_within_s(wait.measured_s(notebook))
    if wait.within_s <= least_s:
        least = timedelta(seconds=round(least_s))
        click.echo(
            f"It begins at once: what may wait needs more than {least} (half an hour to spare, and "
            "somewhat more than a run takes)",
            err=True,
        )
