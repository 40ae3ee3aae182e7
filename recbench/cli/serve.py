"""`recbench serve`: the HTTP service."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.input import Duration
from recbench.cli.serve_dials import policy_of
from recbench.cli.streams import librdkafka_settings

if TYPE_CHECKING:
    from recbench.serving.options import OnlinePlace

__all__ = ["serve"]

READABLE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--release",
    default="current",
    show_default=True,
    metavar="R",
    help="'current' follows the registry; a release id stays.",
)
@click.option(
    "--precision",
    default="fp32",
    show_default=True,
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="Of the query tower; a release that lacks it is refused.",
)
@click.option(
    "--ranker/--no-ranker",
    default=True,
    show_default=True,
    help="Whether the ranker of a release that has one orders its lists and scores.",
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65_535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--bind-cores/--no-bind-cores",
    default=True,
    show_default=True,
    help="While niced work fills the machine, and with --real-time always, keep each worker on a "
    "core of its own, if there are just as many (Linux).",
)
@click.option(
    "--real-time",
    is_flag=True,
    help="Workers answer before all ordinary work of the machine, but while they hardly rest; "
    "needs leave to (Linux).",
)
@click.option("--token-file", type=READABLE, help="Clients must show the token in this file.")
@click.option("--redis", "redis_url", metavar="URL", help="Online features in Redis.")
@click.option("--store", default="online", show_default=True, help="Name of the store in Redis.")
@click.option("--snapshot", type=READABLE, help="Online features in a snapshot of `follow`.")
@click.option(
    "--bootstrap-servers", metavar="HOST:PORT", help="The broker that exposures are sent to."
)
@click.option("--topic", default="events", show_default=True, help="Where exposures go.")
@click.option("-X", "assignments", metavar="KEY=VALUE", multiple=True, help="For librdkafka.")
@click.option(
    "--explore",
    metavar="DIALS",
    help="Leave slots to chance, such as traffic=0.1,slots=1,first_slot=1,pool=100,temperature=1,"
    "even=0.1; what is left out is as here.",
)
@click.option(
    "--policy",
    "policy_snapshot",
    type=READABLE,
    help="Decide by this snapshot of `recbench policy learn`, as it is renewed; until there is "
    "one, the tower decides.",
)
@click.option(
    "--decide",
    metavar="DIALS",
    help="How the policy decides, such as rule=thompson,scale=0.3,epsilon=0.05,slots=20,"
    "first_slot=0,traffic=1,candidates=100,at_most=1,least_events=500.",
)
@click.option(
    "--floor",
    metavar="KIND=SHARE",
    help="Keep a least share of slots for the long tail (tail=0.3) or for new items (new=0.1); "
    "with --policy or without. tail=0.3,free=0.05: but for so many lists, by which `recbench "
    "policy floors` tells what it costs.",
)
@click.option(
    "--explore-off",
    "--policy-off",
    "explore_off",
    type=click.Path(path_type=Path),
    help="A file there ends exploration, or the policy, at once.",
)
@click.option("--max-k", default=500, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--max-body", default=1 << 20, show_default=True, type=click.IntRange(min=1), help="Bytes."
)
@click.option(
    "--max-in-flight",
    default=64,
    show_default=True,
    type=click.IntRange(min=1),
    help="Requests waiting in one worker; beyond it: 503 with Retry-After.",
)
@click.option(
    "--timeout",
    type=Duration(),
    default="5s",
    show_default=True,
    help="For a request to arrive whole.",
)
@click.option("--drain", type=Duration(), default="10s", show_default=True)
def serve(*, port: int, workers: int, host: str, release: str, **dials: Any) -> None:
    """Serve lists and scores over HTTP until Ctrl-C.

    POST /recommend, POST /score, GET /health/live, /health/ready, /metrics, /openapi.json; the Open
    Inference Protocol at /v2. A release that is published meanwhile takes over without a failed
    request. `recbench follow` says where it keeps the online features.
    """
    from recbench.policy.exploration import ExplorationBudget
    from recbench.refresh.registry import POINTER, Registry
    from recbench.refresh.released_tower import released_tower
    from recbench.serving.options import ExposureLog, Limits, ServiceOptions
    from recbench.serving.real_time import require_real_time
    from recbench.serving.supervisor import Supervisor
    from recbench.settings import registry_path

    exposures = None
    if dials["bootstrap_servers"]:
        exposures = ExposureLog(
            bootstrap_servers=dials["bootstrap_servers"],
            topic=dials["topic"],
            settings=librdkafka_settings(dials["assignments"]),
        )
    limits = Limits(
        k=dials["max_k"],
        body_bytes=dials["max_body"],
        in_flight=dials["max_in_flight"],
        body_s=dials["timeout"].total_seconds(),
        drain_s=dials["drain"].total_seconds(),
    )
    options = ServiceOptions(
        registry=registry_path(),
        release=release,
        precision=dials["precision"],
        ranker=dials["ranker"],
        host=host,
        port=port,
        workers=workers,
        bind_cores=dials["bind_cores"],
        real_time=dials["real_time"],
        token=_token(dials["token_file"]),
        online=_online(dials),
        exposures=exposures,
        limits=limits,
        exploration=None if dials["explore"] is None else ExplorationBudget.of(dials["explore"]),
        policy=policy_of(dials["policy_snapshot"], dials["decide"], dials["floor"]),
        explore_off=dials["explore_off"],
    )
    if options.real_time:
        require_real_time()
    registry = Registry(options.registry)
    if release != POINTER or (options.precision != "fp32" and registry.current() is not None):
        # a name that never comes is a slip, and so is a precision that it was made without
        released_tower(registry.open(release, verify=False), options.precision)
    supervisor = Supervisor(options)
    click.echo(f"Serving release {release} on http://{host}:{supervisor.port}, {workers} workers")
    supervisor.run()


def _online(dials: dict[str, Any]) -> "OnlinePlace | None":
    from recbench.serving.options import OnlinePlace

    if not (dials["redis_url"] or dials["snapshot"]):
        return None
    return OnlinePlace(
        redis_url=dials["redis_url"], name=dials["store"], snapshot=dials["snapshot"]
    )


def _token(path: Path | None) -> str | None:
    from recbench.errors import InputError

    if path is None:
        return None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--token-file {path} cannot be read: {error}") from error
    if not token:
        raise InputError(f"--token-file {path} is empty")
    return token
