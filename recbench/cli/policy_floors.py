"""``recbench policy floors``: what a floor under the exposure of some items cost, by the log."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.input import Duration, read_exposures
from recbench.cli.output import json_option, print_table, save_json

if TYPE_CHECKING:
    from recbench.evaluation.off_policy.floor import FloorPrice

__all__ = ["floors"]


@click.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Exposures of a service with --floor, joined with actions: a Parquet file or Delta table.",
)
@click.option("--reward", default="click", show_default=True, help="click, watch, mixture:SHARE.")
@click.option(
    "--full-watch", type=Duration(), default="1m", show_default=True, help="Earns all of a watch."
)
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@json_option
def floors(
    *,
    data: Path,
    reward: str,
    full_watch: timedelta,
    seed: int,
    json_path: Path | None,
) -> None:
    """What the floor of `recbench serve --floor tail=0.3,free=0.05` cost.

    Reward a slot and the share of protected items in lists with the floor and in those that are
    free of it, with 95 % intervals; where the log cannot tell, it says why.
    """
    from recbench.evaluation.off_policy.floor import floor_price
    from recbench.evaluation.off_policy.reward import Reward

    earned = Reward.parse(reward, full_watch_ms=int(full_watch / timedelta(milliseconds=1)))
    found = floor_price(read_exposures(data), earned, seed=seed)
    _print(found)
    save_json(json_path, found.to_json())


def _print(found: "FloorPrice") -> None:
    import polars as pl

    if found.reasons:
        click.echo(f"Cannot tell what the floor cost: {'; '.join(found.reasons)}")
        return
    named = (("reward a slot", found.reward), ("share protected", found.share))
    rows = [_row(what, row) for what, compared in named for row in compared.rows()]
    print_table(pl.DataFrame(rows))
    lost, gained = found.lost, found.gained_share
    if lost is None or gained is None:
        return
    click.echo(f"The floor cost, of reward a slot: {lost}")
    click.echo(f"It gave protected items, of the slots: {gained}")
    if gained.low > 0:
        click.echo(f"That is {lost.value / gained.value:.4f} of reward for each slot of theirs")


def _row(what: str, row: dict[str, Any]) -> dict[str, str]:
    def bounds(name: str) -> str:
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        return "" if low is None else f"[{low:.4f}, {high:.4f}]"

    difference = row["difference_value"]
    return {
        "": what,
        "policy": row["policy"],
        "value": f"{row['value']:.4f}",
        "bootstrap": bounds("bootstrap"),
        "less with the floor": "" if difference is None else f"{difference:+.4f}",
        "paired": bounds("difference_bootstrap"),
        "and Bernstein": bounds("difference_bernstein"),
        "lists worth": f"{row['effective_rows']:.0f}",
    }
