"""`recbench evaluate`: judge any Parquet file of recommendations."""

from pathlib import Path

import click

from recbench.cli.input import read_parquet
from recbench.cli.output import json_option, print_table, save_json

__all__ = ["evaluate"]

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--train", required=True, type=FILE, help="Events: known users and popularity.")
@click.option("--seen", type=FILE, help="Further events whose items are masked.")
@click.option("--test", required=True, type=FILE, help="Events that were to be predicted.")
@click.option("--recs", required=True, type=FILE, help="user_id, item_id, rank; score optional.")
@click.option(
    "--repeats",
    type=click.Choice(["allow", "mask"]),
    default="mask",
    show_default=True,
    help="Whether items of train and seen may be relevant and recommended.",
)
@click.option("--k", default=20, show_default=True, type=click.IntRange(min=1), help="List length.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@json_option
def evaluate(
    *,
    train: Path,
    seen: Path | None,
    test: Path,
    recs: Path,
    repeats: str,
    k: int,
    seed: int,
    json_path: Path | None,
) -> None:
    """Print the ranking table with 95 % intervals over users.

    Full ranking; a user of the test without a list counts 0.
    """
    from recbench.evaluation.ranking import evaluate as judge

    result = judge(
        read_parquet(recs),
        train=read_parquet(train),
        test=read_parquet(test),
        seen=read_parquet(seen) if seen is not None else None,
        repeats=repeats == "allow",
        k=k,
        seed=seed,
    )
    print_table(result.table())
    for name, value in (result.lists | result.left_out).items():
        click.echo(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    dropped = result.left_out["n_repeats_dropped"]
    if dropped:
        click.echo(
            f"recbench: {dropped} recommended items were in their user's past and were dropped; "
            "--repeats allow keeps them",
            err=True,
        )
    if json_path is not None:
        save_json(json_path, result.to_json())
