"""`recbench recommend` and `recbench score`: answers from a release."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from recbench.cli.input import read_parquet

__all__ = ["recommend", "score"]

ANY_TIME = datetime(9998, 1, 1, tzinfo=UTC)  # a request may be asked about the future
READABLE = click.Path(dir_okay=False, path_type=Path)
release_option = click.option(
    "--release",
    default="current",
    show_default=True,
    metavar="R",
    help="'current', a release id, or the path of a release's folder.",
)
out_option = click.option(
    "--out", required=True, type=READABLE, help="The Parquet file to write, whole or not at all."
)


ranker_option = click.option(
    "--ranker/--no-ranker",
    default=True,
    show_default=True,
    help="Whether the release's ranker decides, where it has one.",
)


@click.command()
@release_option
@click.option(
    "--users",
    required=True,
    metavar="FILE|all",
    help="A Parquet file with a column user_id, or all users with a history.",
)
@click.option("--k", default=20, show_default=True, type=click.IntRange(min=1), help="List length.")
@click.option(
    "--repeats",
    type=click.Choice(["allow", "mask"]),
    help="Whether items of the history may be shown; default: by the data's protocol.",
)
@ranker_option
@out_option
def recommend(
    *, release: str, users: str, k: int, repeats: str | None, ranker: bool, out: Path
) -> None:
    """Write lists for users: user_id, item_id, rank, score.

    Users without a history get the release's recency-popularity list.
    """
    from recbench.files import whole_file
    from recbench.progress import bar
    from recbench.refresh import Registry
    from recbench.serving.recommender import ReleasedRecommender, require_user_ids
    from recbench.settings import registry_path

    opened = Registry(registry_path()).open(release)
    model = ReleasedRecommender.load(opened, ranked=ranker)
    ids = (
        model.users.ids
        if users == "all"
        else require_user_ids(read_parquet(Path(users)), source=users)
    )
    with bar(len(ids), unit="user", stream=sys.stderr) as done:
        allowed = None if repeats is None else repeats == "allow"
        lists = model.recommend(ids, k=k, repeats=allowed, on_batch=done.update)
    with whole_file(out) as draft:
        lists.write_parquet(draft)
    unknown = int((model.users.rows(ids) < 0).sum())
    click.echo(
        f"{len(lists)} rows for {len(ids)} users, {unknown} of them unknown (recency popularity), "
        f"by release {opened.manifest.release}: {out}"
    )


@click.command()
@release_option
@click.option("--pairs", required=True, type=READABLE, help="A Parquet file: user_id, item_id, ts.")
@ranker_option
@out_option
def score(*, release: str, pairs: Path, ranker: bool, out: Path) -> None:
    """Write the score of each pair, from what the user had clicked strictly before its ts.

    An item that the release does not know has a null score. A ranker scores all items of one user
    and instant together, as candidates of one request.
    """
    from recbench import columns as c
    from recbench.errors import InputError
    from recbench.files import whole_file
    from recbench.refresh import Registry
    from recbench.serving.recommender import ReleasedRecommender
    from recbench.settings import registry_path
    from recbench.tables.schema import check_events

    opened = Registry(registry_path()).open(release)
    asked = read_parquet(pairs)
    keys = [c.USER_ID, c.ITEM_ID, c.TS]
    extra = [name for name in asked.columns if name not in keys]
    checked = check_events(asked.drop(extra), source=str(pairs), now=ANY_TIME)
    if len(checked.rejected):
        raise InputError(
            f"{pairs}: {len(checked.rejected)} rows cannot be used: {checked.reasons()}"
        )
    in_order = checked.accepted.sort(c.SOURCE_ROW).select(keys)
    scored = ReleasedRecommender.load(opened, ranked=ranker).score(in_order)
    result = asked.with_columns(scored[c.SCORE])
    with whole_file(out) as draft:
        result.write_parquet(draft)
    unknown = scored[c.SCORE].null_count()
    click.echo(
        f"{len(result)} pairs scored by release {opened.manifest.release}, {unknown} of them null "
        f"(unknown items): {out}"
    )
