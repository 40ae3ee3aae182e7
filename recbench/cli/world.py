"""``recbench world``: a simulated short-video world, and experiments in it."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.input import read_parquet
from recbench.cli.output import json_option, print_table, save_json
from recbench.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from recbench.datasets.world.settings import WorldSettings
    from recbench.simulation.twins import TwinPlan

__all__ = ["world"]

FILE = click.Path(dir_okay=False, path_type=Path)
HOURS = click.FloatRange(min=0, min_open=True)
figure_option = click.option("--figure", type=FILE, help="Also draw it into this PNG file.")
seeds_option = click.option(
    "--seeds", default=4, show_default=True, type=click.IntRange(min=2), help="Worlds of each kind."
)


@click.group()
def world() -> None:
    """Simulated: every number of these commands comes from a world that was made up.

    A user is asked for two requests of ten items a day by default, a twentieth of what KuaiRand's
    users saw, so that they do not exhaust a catalogue of 800.
    """


def _sized(command: Callable[..., None]) -> Callable[..., None]:
    """Options of the world's size; their values come as ``dials``."""
    options = (
        click.option("--users", "n_users", default=800, show_default=True, type=int),
        click.option("--items", "n_live", default=800, show_default=True, type=int),
        click.option("--days", default=4.0, show_default=True, help="Half of them for warm-up."),
        click.option("--requests", "requests_per_user_day", default=2.0, show_default=True),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _changing(command: Callable[..., None]) -> Callable[..., None]:
    """Options of how fast the world changes."""
    options = (
        click.option("--taste-half-life", "taste_half_life_h", default=24.0, show_default=True,
                     type=HOURS, help="Hours."),
        click.option("--item-half-life", "item_half_life_h", default=48.0, show_default=True,
                     type=HOURS, help="Hours."),
        click.option("--label-delay", "label_delay_s", default=0.0, show_default=True,
                     type=click.FloatRange(min=0), help="Seconds, in the mean."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@world.command()
@click.option("--out", required=True, type=FILE, help="X.events.parquet; the items beside it.")
@click.option("--seed", default=0, show_default=True)
@_sized
@_changing
def log(out: Path, seed: int, **dials: Any) -> None:
    """Write a log of random exposure, with positions and propensities."""
    from recbench.datasets.simulator import simulated_log

    if not out.name.endswith(".events.parquet"):
        raise InputError(f"`--out` must end in .events.parquet, got {out.name}")
    events, items = simulated_log(_settings(dials), seed=seed)
    events.write_parquet(out)
    beside = out.with_name(out.name.replace(".events.parquet", ".items.parquet"))
    items.write_parquet(beside)
    click.echo(f"{len(events):,} simulated showings in {out}, {len(items):,} items in {beside}")


@world.command()
@seeds_option
@_sized
@_changing
@figure_option
@json_option
def twins(seeds: int, figure: Path | None, json_path: Path | None, **dials: Any) -> None:
    """15-minute over daily refreshes in twin worlds, and what A/B tests say of it."""
    import polars as pl

    from recbench.simulation import twins as twin_worlds
    from recbench.widgets.simulated import interference_figure

    settings, plan = _settings(dials), _plan(dials)
    true = twin_worlds.twins(settings, plan, seeds=range(seeds))
    designs = {"both learn from all": True, "each learns from its own": False}
    found = pl.concat(
        twin_worlds.interference(
            true,
            twin_worlds.experiment(settings, plan, seeds=range(seeds), pooled=pooled),
            plan,
        ).with_columns(design=pl.lit(design))
        for design, pooled in designs.items()
    )
    summary = twin_worlds.summary(found)
    print_table(summary)
    _draw(figure, interference_figure(found))
    save_json(json_path, {"arms": true.to_dicts(), "experiments": found.to_dicts()})


@world.command()
@seeds_option
@click.option("--processes", default=1, show_default=True, type=click.IntRange(min=1))
@_sized
@figure_option
@json_option
def surface(
    seeds: int, processes: int, figure: Path | None, json_path: Path | None, **dials: Any
) -> None:
    """The uplift by half-lives of tastes and items and by label delay, with its contours."""
    from concurrent.futures import ProcessPoolExecutor

    from recbench.simulation import surface as grid
    from recbench.widgets.simulated import surface_figure

    settings, plan = _settings(dials), _plan(dials)
    pool = ProcessPoolExecutor(processes) if processes > 1 else nullcontext()
    with pool as workers:
        across = map if workers is None else workers.map
        found = grid.surface(settings, plan, grid.Grid(), seeds=range(seeds), across=across)
    table = grid.uplifts(found, plan)
    print_table(table)
    payload = {"uplifts": table.to_dicts()}
    for metric, level in grid.ARTICLE.items():
        crossed = grid.crossings(table, metric=metric, level=level)
        click.echo(f"Simulated: half-life of items at which {metric} rises by {level:.1%}:")
        print_table(crossed)
        payload[f"{metric}_crossings"] = crossed.to_dicts()
    _draw(figure, surface_figure(table))
    save_json(json_path, payload)


@world.command()
@seeds_option
@_sized
@_changing
@figure_option
@json_option
def labels(seeds: int, figure: Path | None, json_path: Path | None, **dials: Any) -> None:
    """Late clicks: waiting for them, weighting fake negatives, or neither."""
    from recbench.simulation.labels import delayed_labels
    from recbench.widgets.simulated import calibration_figure

    if not dials["label_delay_s"]:
        dials["label_delay_s"] = 1_800.0
    figures, curves = delayed_labels(_settings(dials), _plan(dials), seeds=range(seeds))
    print_table(figures.drop("seed").group_by("arm", maintain_order=True).mean())
    _draw(figure, calibration_figure(curves))
    save_json(json_path, {"arms": figures.to_dicts(), "calibration": curves.to_dicts()})


@world.command()
@click.option("--data", required=True, type=FILE, help="A real click log; a user is a session.")
@click.option("--share", default=0.4, show_default=True, help="Of the log before the first test.")
@seeds_option
@figure_option
@json_option
def curve(
    data: Path, share: float, seeds: int, figure: Path | None, json_path: Path | None
) -> None:
    """What freshness is worth to next-item counters in a real log and in simulated shops.

    The shop was set by Yoochoose's clicks before the first test: their traits come first.
    """
    from recbench.simulation.validate import compared
    from recbench.widgets.simulated import curves_figure

    found, traits = compared(read_parquet(data), share=share, seeds=range(seeds))
    print_table(traits)
    print_table(found)
    _draw(figure, curves_figure(found))
    save_json(json_path, {"curve": found.to_dicts(), "traits": traits.to_dicts()})


def _settings(dials: dict[str, Any]) -> "WorldSettings":
    from recbench.datasets.world.settings import WorldSettings

    return WorldSettings(**dials)


def _plan(dials: dict[str, Any]) -> "TwinPlan":
    from recbench.simulation.twins import TwinPlan

    return TwinPlan(warmup_days=dials["days"] / 2)


def _draw(file: Path | None, figure: "Figure") -> None:
    if file is not None:
        figure.savefig(file)
        click.echo(f"Drawn: {file}")
