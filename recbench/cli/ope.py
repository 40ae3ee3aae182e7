"""``recbench ope``: what policies would have earned, from a log that another one wrote."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recbench.cli.input import Duration, read_parquet
from recbench.cli.input import read_exposures as read_file
from recbench.cli.output import json_option, print_table, save_json
from recbench.errors import InputError

if TYPE_CHECKING:
    from recbench.evaluation.off_policy.log import ExposureLog
    from recbench.evaluation.off_policy.report import Comparison, Estimator

__all__ = ["ope"]

LOGGED = "logged"
WEIGHTED = ("replay", "ips", "snips", "clipped-ips")
BY_MODEL = ("dm", "dr", "clipped-dr", "switch-dr", "dros")
OF_LISTS = ("ips", "snips", "clipped-ips", "dr")  # right where chance fills several slots, too


@click.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Exposures joined with actions: a Parquet file or Delta table.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    required=True,
    metavar="NAME=FILE",
    help="What a policy would show: request_id, item_id, propensity, and perhaps position.",
)
@click.option("--baseline", default=LOGGED, show_default=True, help="Differences are to this one.")
@click.option(
    "--estimator",
    "estimators",
    multiple=True,
    type=click.Choice([*WEIGHTED, *BY_MODEL]),
    help="Default: snips, and dr where the policies are whole.",
)
@click.option("--tame", default=10.0, show_default=True, help="Clip, switch point or shrinkage.")
@click.option("--reward", default="click", show_default=True, help="click, watch, mixture:SHARE.")
@click.option(
    "--full-watch", type=Duration(), default="1m", show_default=True, help="Earns all of a watch."
)
@click.option("--least-propensity", type=float, help="What the logging policy promised.")
@click.option("--partial", is_flag=True, help="Policies have chances of logged items only.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@json_option
def ope(
    *,
    data: Path,
    policies: tuple[str, ...],
    baseline: str,
    estimators: tuple[str, ...],
    tame: float,
    reward: str,
    full_watch: timedelta,
    least_propensity: float | None,
    partial: bool,
    seed: int,
    json_path: Path | None,
) -> None:
    """Estimate what policies would have earned by what another one logged.

    Only slots that chance filled count. Each number has two intervals of 95 %, by bootstrap over
    requests and by empirical Bernstein, and differences are paired. Where the log cannot tell, the
    table says so, and why.
    """
    from recbench.evaluation.off_policy import compare
    from recbench.evaluation.off_policy.log import logged_policy, read_exposures, target_policy
    from recbench.evaluation.off_policy.reward import Reward

    earned = Reward.parse(reward, full_watch_ms=int(full_watch / timedelta(milliseconds=1)))
    log = read_exposures(read_file(data), earned, least_propensity=least_propensity)
    targets = {
        name: target_policy(log, read_parquet(path), name=name, partial=partial, seed=seed)
        for name, path in _named(policies).items()
    }
    result = compare(
        log.feedback,
        {LOGGED: logged_policy(log)} | targets,
        {name: _estimator(name, tame) for name in _chosen(estimators, log, partial=partial)},
        baseline=baseline,
        missing_reward_frac=log.missing_reward_frac,
        seed=seed,
    )
    _print(result)
    for warning in log.warnings():
        click.echo(f"recbench: {warning}", err=True)
    save_json(json_path, {"rows": result.rows(), "warnings": log.warnings()})


def _named(policies: tuple[str, ...]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for text in policies:
        name, sign, path = text.partition("=")
        if not (name and sign and path):
            raise InputError(f"--policy is NAME=FILE, got {text!r}")
        if name in {LOGGED, *named}:
            raise InputError(f"Two policies are called {name!r}; `{LOGGED}` is the log's own")
        named[name] = Path(path)
    return named


def _chosen(estimators: tuple[str, ...], log: "ExposureLog", *, partial: bool) -> tuple[str, ...]:
    if not estimators:
        return ("snips",) if partial else ("snips", "dr")
    for name in estimators:
        if partial and name in BY_MODEL:
            raise InputError(f"{name} needs whole policies, so that a model can tell their mean")
        if log.most_slots > 1 and name not in OF_LISTS:
            raise InputError(
                f"{name} is for one slot of chance a request, and this log has up to "
                f"{log.most_slots}: choose of {', '.join(OF_LISTS)}"
            )
    return estimators


def _estimator(name: str, tame: float) -> "Estimator":
    from recbench.evaluation import off_policy as o

    return {
        "replay": o.replay,
        "ips": o.ips,
        "snips": o.snips,
        "clipped-ips": lambda f, t: o.clipped_ips(f, t, clip=tame),
        "dm": o.direct_method,
        "dr": o.doubly_robust,
        "clipped-dr": lambda f, t: o.doubly_robust(f, t, clip=tame),
        "switch-dr": lambda f, t: o.switch_doubly_robust(f, t, switch=tame),
        "dros": lambda f, t: o.shrunk_doubly_robust(f, t, shrinkage=tame),
    }[name]


def _print(result: "Comparison") -> None:
    import polars as pl

    rows = []
    for row in result.rows():
        told = row["value"] is not None
        shown = {
            "policy": row["policy"],
            "estimator": row["estimator"],
            "value": f"{row['value']:.4f}" if told else "cannot tell",
            "bootstrap": _bounds(row, "bootstrap"),
            "Bernstein": _bounds(row, "bernstein"),
            f"less {result.baseline}": _number(row["difference_value"]),
            "paired": _bounds(row, "difference_bootstrap"),
            "and Bernstein": _bounds(row, "difference_bernstein"),
            "rows worth": f"{row['effective_rows']:.0f}",
        }
        rows.append(shown)
    print_table(pl.DataFrame(rows))
    for verdict in result.verdicts:
        if not verdict.can_tell:
            click.echo(
                f"{verdict.policy}, {verdict.estimator}: cannot tell: {'; '.join(verdict.reasons)}"
            )
    diagnostics = [
        {
            "policy": name,
            "rows": found.n_rows,
            "requests": found.n_units,
            "overlap": found.overlap,
            "mean weight": found.mean_weight,
            "+-": found.mean_weight_error,
            "weight p99": found.weight_p99,
            "largest": found.weight_max,
            "its share": found.largest_share,
            "unsupported": found.unsupported_mass,
        }
        for name, found in result.diagnostics.items()
    ]
    print_table(pl.DataFrame(diagnostics))


def _bounds(row: dict[str, float | None], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "" if low is None or high is None else f"[{low:.4f}, {high:.4f}]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"
