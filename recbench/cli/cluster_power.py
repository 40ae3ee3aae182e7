"""``recbench cluster power`` and ``advise``: what GPUs may draw, and which setting is cheapest."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.input import Duration
from recbench.cli.output import json_option, print_table, save_json
from recbench.errors import InputError

if TYPE_CHECKING:
    from datetime import timedelta

    from recbench.cluster.levers import TrainSetting

__all__ = ["advise", "power"]

MEASURED = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--cap", "watts", type=float, metavar="WATTS", help="Set this power limit.")
@click.option("--gpu", "index", type=int, help="Only this GPU; default: all.")
@click.option("--yes", is_flag=True, help="Your word: without it nothing is changed.")
@json_option
def power(*, watts: float | None, index: int | None, yes: bool, json_path: Path | None) -> None:
    """What this machine's GPUs draw and may draw; with --cap WATTS --yes, set their power limit.

    A limit holds until another is set or the driver is loaded anew, for everybody who uses the
    GPU. Setting it needs root.
    """
    import polars as pl

    from recbench.cluster.energy import installed_nvml
    from recbench.cluster.gpu_power import cap_power, gpu_powers

    nvml = installed_nvml()
    if nvml is None:
        raise InputError(
            "NVML finds no GPU here: it needs an NVIDIA GPU with its driver, and the package "
            "nvidia-ml-py (the `gpu` extra)"
        )
    found = gpu_powers(nvml)
    indexes = [one.gpu for one in found] if index is None else [index]
    if watts is None:
        shown = [one._asdict() for one in found if one.gpu in indexes]
        if not shown:
            raise InputError(f"There is no GPU {index}: this machine has {len(found)}, from 0")
        print_table(pl.DataFrame(shown))
        save_json(json_path, shown)
        return
    if not yes:
        raise InputError(f"--cap {watts:g} changes nothing without --yes: the GPU is not only ours")
    changed = []
    for gpu in indexes:
        before = cap_power(nvml, gpu, watts, allowed=yes)
        changed.append({"gpu": gpu, "before_w": before, "limit_w": watts})
        click.echo(
            f"GPU {gpu}: {before:g} W -> {watts:g} W. Back: recbench cluster power --gpu {gpu} "
            f"--cap {before:g} --yes"
        )
    save_json(json_path, changed)


@click.command()
@click.argument("measured", type=MEASURED)
@click.option("--examples", type=float, help="To train on.")
@click.option("--within", type=Duration(), help="In which time.")
@click.option(
    "--slower",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Without --within: share of the fastest setting's speed that may be lost.",
)
@json_option
def advise(
    measured: Path,
    *,
    examples: float | None,
    within: "timedelta | None",
    slower: float,
    json_path: Path | None,
) -> None:
    """The batch size and power cap with the fewest joules that are fast enough; changes nothing.

    MEASURED is a CSV of settings that were tried: batch_size, examples_per_s, joules_per_example,
    and power_cap_w where there is a cap.
    """
    import polars as pl

    from recbench.cluster.levers import cheapest_in_time, proposed_setting

    if (examples is None) != (within is None):
        raise click.UsageError("--examples and --within go together")
    settings = _settings(measured)
    if examples is None or within is None:
        chosen = proposed_setting(settings, slower=slower)
    else:
        chosen = cheapest_in_time(settings, examples=examples, within_s=within.total_seconds())
    rows: list[dict[str, Any]] = [
        setting._asdict() | {"advised": "<-" if setting == chosen else ""} for setting in settings
    ]
    print_table(pl.DataFrame(rows, infer_schema_length=None))
    save_json(json_path, chosen._asdict())


def _settings(path: Path) -> "list[TrainSetting]":
    import csv

    from recbench.cluster.levers import TrainSetting

    found = []
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                cap = row.get("power_cap_w")
                setting = TrainSetting(
                    float(cap) if cap else None,
                    int(row["batch_size"]),
                    float(row["examples_per_s"]),
                    float(row["joules_per_example"]),
                )
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(
                    f"Line {number} of {path} needs batch_size, examples_per_s and "
                    f"joules_per_example, and perhaps power_cap_w; it has {row}"
                ) from error
            if not (0 < setting.examples_per_s < float("inf") and setting.joules_per_example > 0):
                raise InputError(
                    f"Line {number} of {path}: speed and joules must be positive, got {row}"
                )
            found.append(setting)
    return found
