"""``recbench cluster plan``: what a size of the world takes, from measured unit costs."""

from dataclasses import asdict
from pathlib import Path

import click

from recbench.cli.output import json_option, save_json

__all__ = ["plan"]

FACTORS = (1, 10, 100)


@click.command()
@click.option("--users", default=100e6, show_default="100 million", type=float)
@click.option("--items", default=100e6, show_default="100 million", type=float)
@click.option("--events", default=1e6, show_default="1 million", type=float, help="A second.")
@click.option("--requests", default=50e3, show_default="50,000", type=float, help="A second.")
@click.option(
    "--costs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with JSON files of `recbench bench`; what they lack is as shipped.",
)
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the text to this file instead of printing it.",
)
@json_option
def plan(
    users: float,
    items: float,
    events: float,
    requests: float,
    costs: Path | None,
    markdown: Path | None,
    json_path: Path | None,
) -> None:
    """Machines, money, energy and the first bottleneck of every stage at 1x, 10x and 100x."""
    from datetime import UTC, datetime

    from recbench.cluster.plan import Assumptions, World, capacity_plan
    from recbench.cluster.plan_text import plan_markdown
    from recbench.cluster.unit_costs import UnitCosts

    world = World(users=users, items=items, events_per_s=events, requests_per_s=requests)
    assumed, known = Assumptions(), UnitCosts.shipped()
    if costs is not None:
        known = known.with_benches(costs, date=datetime.now(UTC).date().isoformat())
    text = plan_markdown(world, known, assumed)
    if markdown is None:
        click.echo(text, nl=False)
    else:
        markdown.write_text(text, encoding="utf-8")
    sizes = {f: capacity_plan(world.times(f), known, assumed) for f in FACTORS}
    save_json(json_path, {str(f): [asdict(stage) for stage in sizes[f]] for f in sizes})
