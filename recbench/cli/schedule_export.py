"""`recbench schedule export`: the same schedule for Kubernetes."""

from pathlib import Path
from typing import Any

import click

from recbench.cluster.kubernetes.settings import KubernetesSettings
from recbench.settings import workspace_path

__all__ = ["export"]


@click.command()
@click.argument("name")
@click.option("--to", type=click.Choice(["k8s"]), required=True, help="Whose language.")
@click.option("--image", help="Name and tag, as for `recbench cluster manifests`.")
@click.option("--namespace", help="Where it lives.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="A file; else printed."
)
def export(
    name: str, *, to: str, image: str | None, namespace: str | None, out: Path | None
) -> None:
    """The schedule NAME as a CronJob, for `kubectl apply -f`.

    It runs the notebook of the same name in the image for jobs, on the Dask cluster; paths among
    its parameters must be such as pods see.
    """
    import yaml

    from recbench.cluster.kubernetes.schemas import problems
    from recbench.errors import InputError
    from recbench.jobs.schedules.on_kubernetes import cron_job, left_behind
    from recbench.jobs.schedules.store import ScheduleStore

    del to  # the only one there is
    says = ScheduleStore.of(workspace_path()).read(name)
    chosen: dict[str, Any] = {"image": image, "namespace": namespace}
    settings = KubernetesSettings(**{key: value for key, value in chosen.items() if value})
    manifest = cron_job(says, settings)
    if found := problems(manifest):
        raise InputError("\n".join(["The schemas refuse this manifest:", *found]))
    for line in left_behind(says):
        click.echo(f"Not in it: {line}", err=True)
    text = yaml.safe_dump(manifest, sort_keys=False, width=100)
    if out:
        out.write_text(text, encoding="utf-8")
    click.echo(str(out) if out else text, nl=out is not None)
