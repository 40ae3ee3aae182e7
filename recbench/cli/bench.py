"""``recbench bench``: measure one part beside a reference in the same run."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import click

from recbench.cli.output import json_option, print_table, save_json
from recbench.errors import InputError

__all__ = ["bench"]

# name, also the module below recbench.benchmarks -> what it measures
BENCHES = {
    "coverage": "Intervals of off-policy estimates, by simulated logs whose truth is known.",
    "features": "Window features, beside DuckDB's RANGE windows and one sort.",
    "ingest": "Kafka to the lake, beside a consumer that only counts.",
    "leave_one_out": "Both stages on MovieLens-100K as published tables are made; it leaks.",
    "policy": "Bandits: events learnt from a second, and the time of a decision.",
    "recovery": "Ranks and workers killed or stopped in a training: seconds to the next step.",
    "refresh": "A refresh, beside full fits of the same log.",
    "reinforce": "Policy gradient as a refresh, beside the plain one; simulated.",
    "scale": "Training on one rank and two; launching and growing to many.",
    "serve": "The HTTP service under load, beside its tower and index called in process.",
    "sizes": "The HTTP service at 10 k, 100 k and 1 M items, by number of clients.",
    "soak": "The HTTP service at half its maximum rate for long: no error, memory flat.",
    "swap": "Releases published under load: latency, failures, and answers that mix two.",
    "train": "Training, beside a bare torch loop over the same batches.",
    "world": "The simulated world, beside a plain loop that answers one showing after the other.",
}


class _NamesBenches(click.Command):
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Benches"):
            formatter.write_dl(list(BENCHES.items()))


@click.command(cls=_NamesBenches)
@click.argument("name", type=click.Choice(list(BENCHES)))
@click.option("--runs", type=click.IntRange(min=1), help="How often; figures are medians.")
@click.option("--events", type=click.IntRange(min=1), help="How many events to generate.")
@click.option("--items", type=click.IntRange(min=1), help="How large the catalogue is.")
@click.option("--ranks", type=click.IntRange(min=2), help="How large the largest gang is.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Of a load.")
@click.option("--swaps", type=click.IntRange(min=1), help="Releases to be published.")
@click.option("--per-s", type=click.FloatRange(min=1), help="Requests offered a second.")
@click.option("--beside", is_flag=True, default=None, help="Train meanwhile, at idle priority.")
@click.option(
    "--real-time",
    is_flag=True,
    default=None,
    help="Service and client run at real-time priority.",
)
@json_option
def bench(name: str, json_path: Path | None, **options: Any) -> None:
    """Measure NAME; every ratio `vs_...` is to a reference of the same run, above 1: faster."""
    given = {key: value for key, value in options.items() if value is not None}
    module = importlib.import_module(f"recbench.benchmarks.{name}")
    _refuse_unknown(name, given, known=inspect.signature(module.run).parameters)
    result = module.run(**given)
    payload: dict[str, Any] = result.to_json_dict()
    save_json(json_path, payload)
    _print(payload)


def _refuse_unknown(name: str, given: dict[str, Any], *, known: Any) -> None:
    unknown = [f"--{option}={value}" for option, value in given.items() if option not in known]
    if unknown:
        raise InputError(f"`bench {name}` does not take {', '.join(unknown)}")


def _print(payload: dict[str, Any]) -> None:
    import polars as pl

    machine = payload["machine"]
    memory_gb = machine["memory_bytes"] / 1e9
    click.echo(
        f"{payload['bench']}: {len(payload['runs'])} runs on {machine['cores']} cores of "
        f"{machine['cpu']}, {memory_gb:.0f} GB"
    )
    figures = payload["figures"]
    values = [f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" for value in figures.values()]
    print_table(pl.DataFrame({"figure": list(figures), "value": values}))
