"""`recbench freshness`: how fresh is fresh enough for a log, and at which cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.output import json_option, print_table, save_json

if TYPE_CHECKING:
    import polars as pl

    from recbench.jobs.freshness.results import Results

__all__ = ["freshness"]


@click.command()
@click.argument("log", required=False)
@click.option("--data", help="A catalogue name, Parquet file or Delta table; or give it as LOG.")
@click.option("--items", type=click.Path(path_type=Path), help="Item features, if not beside it.")
@click.option("--protocol", help="masked, next_in_session, next_basket or impressions.")
@click.option(
    "--from", "from_share", default=0.6, show_default=True, help="Share of events before the test."
)
@click.option(
    "--cadences",
    default="never,1d,1h,15m",
    show_default=True,
    help="Of releases; histories are tried at every event, too.",
)
@click.option(
    "--factorial",
    "factorials",
    multiple=True,
    help="STALE-FRESH such as 1d-15m or 1d-event: whose gain is shared out among the dials. "
    "Default: the longest cadence against the shortest, and against every event.",
)
@click.option(
    "--models",
    default="ours,counters,popularity",
    show_default=True,
    help="Ours, and what stands beside it: also two-tower, by its own refreshes. ItemKNN and EASE, "
    "fitted anew at every tick, always do.",
)
@click.option("--k", default=20, show_default=True, type=click.IntRange(min=1), help="List length.")
@click.option("--requests", default=20_000, show_default=True, help="Clicks that are asked.")
@click.option("--refreshes", default=200, show_default=True, help="Of the weights, in each arm.")
@click.option("--tolerance", default=0.01, show_default=True, help="NDCG that may be lost.")
@click.option("--seed", default=0, show_default=True, help="Of requests that are drawn.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for lists, tables and figures; what it holds already is not done again.",
)
@json_option
def freshness(
    *,
    log: str | None,
    data: str | None,
    items: Path | None,
    protocol: str | None,
    cadences: str,
    factorials: tuple[str, ...],
    models: str,
    requests: int,
    refreshes: int,
    out: Path,
    json_path: Path | None,
    **dials: Any,
) -> None:
    """Test, then train, over LOG: what fresh histories, statistics, weights and index are worth.

    Prints the curve of freshness, cost and quality and the recommended cadence. OUT/recs/*.parquet
    hold what every arm would have shown, OUT/asked.parquet what was clicked.
    """
    from recbench.datasets import load
    from recbench.errors import InputError
    from recbench.jobs.freshness import Freshness, FreshnessPlan
    from recbench.jobs.freshness.report import summary_of, tables_of, write_tables
    from recbench.jobs.freshness.results import Results
    from recbench.jobs.freshness.skipping import Skipping
    from recbench.settings import workspace_path

    if (log is None) == (data is None):
        raise InputError("Give the log once, as LOG or as --data")
    plan = FreshnessPlan.named(
        cadences=cadences.split(","),
        factorials=factorials,
        models=models.split(","),
        most_requests=requests,
        most_refreshes=refreshes,
        **dials,
    )
    events = load(log or data or "", workspace=workspace_path(), items=items, protocol=protocol)
    done = Freshness.of(events, plan, out).run()
    results, skipping = Results(done), Skipping(done).run()
    tables = tables_of(results, skipping)
    summary = summary_of(results, skipping, tables)
    write_tables(out, tables, summary)
    _draw(out, results, tables, summary)
    _print(results, tables, summary)
    save_json(json_path, summary)


def _draw(
    out: Path, results: "Results", tables: "dict[str, pl.DataFrame]", summary: dict[str, Any]
) -> None:
    from recbench.widgets.freshness_curve import (
        calibration_figure,
        freshness_curve,
        over_time_figure,
        shares_figure,
    )
    from recbench.widgets.refresh import forecast_figure

    metric = f"ndcg@{results.done.plan.k}"
    figures = {
        "freshness": freshness_curve(
            tables["curve"],
            metric=metric,
            recommended=summary["recommended"],
            gained=results.gained(),
        ),
        "shares": shares_figure(tables["shares"], metric=metric),
        "over_time": over_time_figure(tables["over_time"], metric=metric),
        "forecast": forecast_figure(tables["forecast"]),
        "calibration": calibration_figure(tables["forecast"]),
    }
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.png", dpi=150)


def _print(results: "Results", tables: "dict[str, pl.DataFrame]", summary: dict[str, Any]) -> None:
    done = results.done
    click.echo(f"{len(done.asked)} requests; not asked: {done.asked.left_out or 'none'}")
    if len(done.within) > 1:
        click.echo(f"{len(done.within)} parts of the test, since refreshes are limited")
    print_table(results.printed(tables["curve"]))
    click.echo("Whose gain it is (Shapley), in NDCG:")
    print_table(tables["shares"])
    click.echo(
        "Refreshes that a forecast finds worth it; the rule may make "
        f"{summary['skipping']['budget']:.0%} of a day's, found before the test:"
    )
    print_table(tables["skipping"])
    _print_forecast(summary["skipping"])
    for what in summary["unsustainable"]:
        click.echo(f"Not sustainable: {what}; releases take longer than that and queue")
    click.echo(f"Recommended: {summary['recommended']}, {summary['reason']}")
    click.echo(str(done.folder))


def _print_forecast(told: dict[str, float]) -> None:
    if told["forecast_n"]:
        click.echo(
            f"Of a refresh {told['forecast_expected']:+.2%} of NDCG was expected before the test, "
            f"{told['forecast_measured']:+.2%} was measured; {told['forecast_within_90']:.0%} of "
            f"{told['forecast_n']:.0f} lay where nine in ten should"
        )
