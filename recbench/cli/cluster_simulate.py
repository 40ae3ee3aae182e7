"""``recbench cluster simulate``: scaling policies side by side on simulated days."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from recbench.cli.output import json_option, print_table, save_json

if TYPE_CHECKING:
    from recbench.cluster.simulate import Machine

__all__ = ["simulate"]


@click.command()
@click.option("--days", default=40, show_default=True, type=click.IntRange(1, 1000))
@click.option(
    "--peak",
    default=40.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="Workers that refreshes keep busy at the top of a generated day.",
)
@click.option(
    "--startup",
    default=57.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds from asking for a worker to its first task.",
)
@click.option("--maximum", default=64, show_default=True, type=click.IntRange(min=2))
@click.option(
    "--data",
    default="generated",
    show_default=True,
    help="Or an event log whose rhythm days have, or a folder with pai_job_table.csv and "
    "pai_task_table.csv of Alibaba's GPU trace.",
)
@click.option("--share", default=0.01, show_default=True, help="Of the jobs of an Alibaba day.")
@click.option(
    "--tune", is_flag=True, help="Show instead what the dials of each arm were chosen by."
)
@json_option
def simulate(
    days: int,
    peak: float,
    startup: float,
    maximum: int,
    data: str,
    share: float,
    tune: bool,
    json_path: Path | None,
) -> None:
    """Fixed, static, reactive and our scaling, and the least possible, on the same days.

    Starts, warm workers, lost workers and spot workers that are taken back are paid for. The days
    were not used for choosing any dial.
    """
    import polars as pl

    from recbench.cluster.compare import arms_table, claims, compare, savings_table
    from recbench.cluster.days import days_of
    from recbench.cluster.scaling import ScalingPolicy
    from recbench.cluster.simulate import Machine
    from recbench.settings import workspace_path

    machine = Machine(startup_s=startup, most=maximum)
    if tune:
        _tune(machine, json_path)
        return
    chosen = days_of(data, n_days=days, workspace=workspace_path(), peak_workers=peak, share=share)
    found = compare(chosen.traces, machine, ScalingPolicy(maximum=maximum), say=_say)
    frame = pl.concat([day.frame for day in found])
    arms, savings = arms_table(frame), savings_table(frame)
    print_table(arms)
    click.echo("What ours saves, a share of the other's cost, with 95 % over paired days:")
    print_table(savings)
    said = claims(savings)
    click.echo(f"Claims over {days} days:")
    for line in said:
        click.echo(line)
    payload = {"arms": arms, "savings": savings, "days": frame}
    tables = {name: table.to_dicts() for name, table in payload.items()}
    save_json(json_path, tables | {"claims": said})


def _tune(machine: "Machine", json_path: Path | None) -> None:
    from recbench.cluster.tune import chosen, tune

    tables = tune(machine, say=_say)
    for arm, table in tables.items():
        click.echo(f"{arm}: {chosen(table)}")
        print_table(table)
    save_json(json_path, {arm: table.to_dicts() for arm, table in tables.items()})


def _say(line: str) -> None:
    click.echo(line, err=True)
