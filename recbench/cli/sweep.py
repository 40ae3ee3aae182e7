"""``recbench sweep``: the best of a notebook's parameters, a job a trial."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.output import json_option, print_table, save_json
from recbench.cli.progress import Progress
from recbench.errors import InputError
from recbench.settings import notebooks_path, runs_path, workspace_path

if TYPE_CHECKING:
    from recbench.jobs.run import RunResult

__all__ = ["sweep"]

PARENT = "13_sweep"  # the notebook that runs the trials
KNOWN = {"program", "method", "metric", "parameters", "run_cap"}  # of W&B's configuration


@click.command()
@click.argument("notebook", required=False)
@click.option(
    "--config",
    "config_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A sweep's configuration as W&B takes it, in YAML: program, method, metric, parameters, "
    "run_cap. Options go on top.",
)
@click.option(
    "-s",
    "swept",
    metavar="NAME=VALUES",
    multiple=True,
    help="Vary one parameter: a,b,c or low..high or log:low..high.",
)
@click.option("-p", "fixed", metavar="NAME=VALUE", multiple=True, help="Set one for all trials.")
@click.option("--metric", metavar="NAME", help="What counts, as runs record it: see `runs show`.")
@click.option("--goal", type=click.Choice(["maximize", "minimize"]), help="Default: maximize.")
@click.option("--method", type=click.Choice(["grid", "random", "bayes"]), help="Default: bayes.")
@click.option("--trials", type=click.IntRange(min=1), help="At most; default 20, failed ones too.")
@click.option("--at-once", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice of points.")
@click.option("--on", "where", metavar="CLUSTER", help="Have its workers carry the trials out.")
@click.option("--resume", metavar="RUN", help="Go on with an unfinished sweep where it stopped.")
@json_option
def sweep(
    notebook: str | None,
    *,
    config_path: Path | None,
    swept: tuple[str, ...],
    fixed: tuple[str, ...],
    resume: str | None,
    where: str | None,
    json_path: Path | None,
    **asked: Any,
) -> None:
    """Try NOTEBOOK with many values of its parameters, and name the best.

    Each trial is a run like any other; the sweep is one, too, with their table in its report, and
    leads their group in W&B. It needs no connection: what W&B gets later by `recbench runs sync`
    is the same. The sweep's folder is the last line printed; exit codes as of `recbench run`.
    """
    from recbench.jobs.run import resume_run, run_notebook
    from recbench.jobs.runs import find_notebook, find_run
    from recbench.jobs.way import way_to

    if resume and (notebook or config_path or swept or fixed):
        raise click.UsageError("--resume goes on with what that sweep was asked for")
    parameters = {} if resume else _parameters(notebook, config_path, swept, fixed, asked)
    progress = Progress(shows_output=True)
    places: dict[str, Any] = {"workspace": workspace_path(), "listener": progress}
    try:
        with way_to(where) as way:
            if resume:
                folder = find_run(resume, runs_path())
                progress.on_folder(folder)
                result = resume_run(folder, **places, way=way)
            else:
                parent = find_notebook(PARENT, notebooks_path())
                result = run_notebook(parent, parameters, runs=runs_path(), **places, way=way)
        _print_result(result)
        save_json(json_path, {"run": str(result.folder), "metrics": result.metrics})
    finally:
        progress.close()


def _parameters(
    notebook: str | None,
    config_path: Path | None,
    swept: tuple[str, ...],
    fixed: tuple[str, ...],
    asked: dict[str, Any],
) -> dict[str, Any]:
    """Of the notebook that runs the trials, checked as far as this needs no trial."""
    from recbench.jobs.parameters import parse_assignments
    from recbench.jobs.run import notebook_parameters
    from recbench.jobs.runs import find_notebook
    from recbench.jobs.sweep import Sweep
    from recbench.jobs.sweep_space import from_texts

    config = _config(config_path)
    name = notebook or config.get("program")
    if name is None:
        raise click.UsageError("Name the NOTEBOOK to sweep, or its `program` in --config")
    path = find_notebook(str(name), notebooks_path())
    declared = notebook_parameters(path)
    given = parse_assignments(declared, fixed, source=f"`{path.name}`")
    space = {
        **config.get("parameters", {}),
        **{key: {"value": value} for key, value in given.items()},
        **from_texts(swept, declared),
    }
    metric = config.get("metric", {})
    wanted = {
        "metric": asked["metric"] or metric.get("name") or _no_metric(path.stem),
        "goal": asked["goal"] or metric.get("goal", "maximize"),
        "method": asked["method"] or config.get("method", "bayes"),
        "n_trials": asked["trials"] or config.get("run_cap", 20),
        "seed": asked["seed"],
    }
    Sweep.of(str(path), space, **wanted)
    told = {"notebook": str(path.absolute()), "space": space, "data": ""}
    return told | wanted | {"at_once": asked["at_once"]}


def _config(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"`{path}` is not YAML: {error}") from error
    if not isinstance(config, dict) or not config.keys() <= KNOWN:
        found = sorted(config) if isinstance(config, dict) else config
        raise InputError(f"`{path}` has {found}; a sweep knows {sorted(KNOWN)}")
    for part in ("parameters", "metric"):
        if not isinstance(config.get(part, {}), dict):
            raise InputError(f"`{part}` of `{path}` must hold names, got {config[part]!r}")
    return config


def _no_metric(notebook: str) -> str:
    from recbench.jobs.runs import list_runs

    recorded = next(
        (run.metrics for run in reversed(list_runs(runs_path())) if run.notebook == notebook), {}
    )
    names = [name for name, value in recorded.items() if type(value) in {int, float}]
    known = f"its last run recorded {', '.join(names)}" if names else "it has not run yet"
    raise InputError(f"Say by --metric what counts; {known}")


def _print_result(result: "RunResult") -> None:
    import polars as pl

    from recbench.jobs.manifest import Manifest

    print_table(pl.read_parquet(result.folder / "tables" / "trials.parquet"))
    asked = Manifest.read(result.folder).parameters
    best = dict(result.metrics["best"])
    run = best.pop("run")
    click.echo(f"Best: {asked['metric']} {result.metrics[asked['metric']]:.6g}, run {run}")
    words = " ".join(f"-p {name}={_word(value)}" for name, value in best.items())
    click.echo(f"recbench run {Path(asked['notebook']).stem} {words}")


def _word(value: Any) -> str:
    import shlex

    return shlex.quote(value if isinstance(value, str) else repr(value))
