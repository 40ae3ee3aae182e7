"""`recbench cluster manifests`: what Kubernetes is told."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from recbench.cluster.kubernetes.settings import KubernetesSettings

__all__ = ["manifests"]


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """One option for each setting."""
    for each in reversed(fields(KubernetesSettings)):
        command = click.option(
            f"--{each.name.replace('_', '-')}",
            type=click.Choice(each.metadata["choices"])
            if "choices" in each.metadata
            else type(each.default),
            default=each.default,
            show_default=each.default != "",
            help=each.metadata["help"],
        )(command)
    return command


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("environments/k8s"),
    show_default=True,
    help="Folder for the files.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail if the files there are others.")
@_options
def manifests(*, out: Path, check: bool, **chosen: Any) -> None:
    """Write the manifests for Kubernetes, checked against its schemas and the operator's.

    Nothing is asked of a cluster, and nothing is applied. Exit code: 0 written, or equal with
    --check; 1 different; 2 an option that Kubernetes would not take.
    """
    from recbench.cluster.kubernetes.files import manifest_files

    settings = KubernetesSettings(**chosen)
    _require_valid(settings)
    files = manifest_files(settings)
    if check:
        _compare(out, files)
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
        click.echo(str(out / name))


def _require_valid(settings: KubernetesSettings) -> None:
    from recbench.cluster.kubernetes.files import manifests as manifests_of
    from recbench.cluster.kubernetes.schemas import problems
    from recbench.errors import InputError

    found = [
        f"{name}: {line}"
        for name, objects in manifests_of(settings).items()
        for manifest in objects
        for line in problems(manifest)
    ]
    if found:
        raise InputError("\n".join(["The schemas refuse these manifests:", *found]))


def _compare(out: Path, files: dict[str, str]) -> None:
    different = [
        name
        for name, text in files.items()
        if not (out / name).is_file() or (out / name).read_text(encoding="utf-8") != text
    ]
    for name in different:
        click.echo(f"{out / name} is not what these options give", err=True)
    if different:
        click.get_current_context().exit(1)
    click.echo(f"{len(files)} files in {out} are what these options give")
