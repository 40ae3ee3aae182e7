"""`recbench releases`: the registry."""

from dataclasses import asdict
from pathlib import Path

import click

from recbench.cli.output import json_option, print_table, save_json

__all__ = ["releases"]


@click.group()
def releases() -> None:
    """List, show, publish and roll back releases."""


@releases.command("list")
@json_option
def list_releases(json_path: Path | None) -> None:
    """All releases, the newest first; `*` marks the current one."""
    import polars as pl

    from recbench.refresh import Registry
    from recbench.settings import registry_path

    registry = Registry(registry_path())
    current = registry.current()
    held, unreadable = registry.releases(), registry.unreadable()
    if held:
        print_table(
            pl.DataFrame(
                {
                    "": ["*" if m.release == current else "" for m in held],
                    "release": [m.release for m in held],
                    "data": [m.data for m in held],
                    "watermark": [m.watermark for m in held],
                    "verdict": [m.gate["verdict"] for m in held],
                }
            )
        )
    elif not unreadable:
        click.echo(f"No releases in {registry.path} yet: recbench run 03_train_two_tower makes one")
    for release, reason in unreadable.items():
        click.echo(f"{release} cannot be used: {reason}", err=True)
    listed = {"current": current, "releases": [asdict(m) for m in held], "unreadable": unreadable}
    save_json(json_path, listed)


@releases.command()
@click.argument("release", default="current")
@json_option
def show(release: str, json_path: Path | None) -> None:
    """The manifest of one release, its files verified."""
    import json

    from recbench.refresh import Registry
    from recbench.settings import registry_path

    manifest = asdict(Registry(registry_path()).open(release).manifest)
    click.echo(json.dumps(manifest, indent=2))
    save_json(json_path, manifest)


@releases.command()
@click.argument("release")
def publish(release: str) -> None:
    """Verify a release and make it the current one, by one atomic move."""
    from recbench.refresh import Registry
    from recbench.settings import registry_path

    published = Registry(registry_path()).publish(release)
    click.echo(f"{published.manifest.release} is current")


@releases.command()
@click.option("--keep", type=click.IntRange(min=0), default=20, show_default=True)
def prune(keep: int) -> None:
    """Remove old releases but those that refreshes still go back to.

    The current release stays, and KEEP of those that were current before it.
    """
    from recbench.refresh import Registry
    from recbench.refresh.stored import needed_by
    from recbench.settings import registry_path

    registry = Registry(registry_path())
    gone = registry.prune(keep=keep, protect=needed_by(registry))
    for release in gone:
        click.echo(f"{release} is removed")
    if not gone:
        click.echo("Nothing to remove")


@releases.command()
def rollback() -> None:
    """Make the release current that was so before."""
    from recbench.refresh import Registry
    from recbench.settings import registry_path

    chosen = Registry(registry_path()).roll_back()
    click.echo(f"{chosen.manifest.release} is current again")
