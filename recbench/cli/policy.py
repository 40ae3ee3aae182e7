"""``recbench policy``: bandits that learn from a stream what a service shows."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.input import Duration
from recbench.cli.output import json_option, print_table, save_json
from recbench.cli.policy_floors import floors
from recbench.cli.streams import (
    StatusShown,
    broker_options,
    count_or_unknown,
    librdkafka_settings,
    sole_holder,
    stopped_by_signals,
)
from recbench.settings import workspace_path

if TYPE_CHECKING:
    from recbench.policy.learner import Learner
    from recbench.policy.stream import LearningStatus

__all__ = ["policy"]

MICROSECOND = timedelta(microseconds=1)
SHOWN_ITEMS = 10


@click.group()
def policy() -> None:
    """Bandits over what a service retrieves: learn from its topics, and look at what they know.

    `recbench serve --policy SNAPSHOT` decides by them.
    """


@policy.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The snapshot; where it is there, it is gone on with. Default: WORKSPACE/policy/TOPIC."
    "safetensors",
)
@click.option(
    "--topic",
    "topics",
    multiple=True,
    default=("events",),
    show_default=True,
    help="Of exposures and actions; give it twice where they have one each.",
)
@broker_options
@click.option(
    "--window",
    type=Duration(),
    default="15m",
    show_default=True,
    help="How long after an exposure an action counts; so long it waits.",
)
@click.option(
    "--allowed-lateness",
    type=Duration(),
    default="10s",
    show_default=True,
    help="How far behind the latest of its partition an event may come.",
)
@click.option("--reward", default="click", show_default=True, help="click, watch, mixture:SHARE.")
@click.option(
    "--full-watch", type=Duration(), default="1m", show_default=True, help="Earns all of a watch."
)
@click.option(
    "--half-life",
    type=Duration(),
    default="6h",
    show_default=True,
    help="After which a showing counts half in an item's rate.",
)
@click.option("--neural", is_flag=True, help="Neural-linear: a network learns the features.")
@click.option(
    "--relearn-every", default=5_000, show_default=True, type=click.IntRange(min=1), help="Events."
)
@click.option(
    "--forget",
    "forget",
    type=click.IntRange(min=1_000),
    metavar="DECISIONS",
    help="After so many a decision counts half in what is believed, as refreshes move the towers. "
    "Default: all count alike.",
)
@click.option("--snapshot-every", type=Duration(), default="5s", show_default=True)
@click.option("--until-end", is_flag=True, help="Stop where the topics end now.")
@json_option
def learn(
    *,
    out: Path | None,
    topics: tuple[str, ...],
    bootstrap_servers: str | None,
    assignments: tuple[str, ...],
    snapshot_every: timedelta,
    until_end: bool,
    json_path: Path | None,
    **dials: Any,
) -> None:
    """Learn from exposures with a context, and from what was done with them, until Ctrl-C.

    `recbench serve --policy` writes such exposures; actions are events with their `request_id` and
    `item_id` and a click or `watch_ms`. The snapshot has the offsets of the very rows that are in
    it: killed at any moment, and started again, it neither loses nor doubles an event.
    """
    from recbench.events.broker import open_broker
    from recbench.policy.stream import StreamLearning

    path = out or workspace_path() / "policy" / f"{topics[0]}.safetensors"
    brokers, settings = workspace_path() / "broker", librdkafka_settings(assignments)
    with (
        sole_holder(path.with_name(f"{path.name}.lock"), what="A learner"),
        open_broker(bootstrap_servers, folder=brokers, settings=settings) as broker,
        stopped_by_signals() as stop,
    ):
        for topic in topics:
            broker.partitions_of(topic)
        named = ", ".join(f"`{topic}`" for topic in topics)
        click.echo(f"Learning from {named} of {broker.origin} into {path}")
        shown = StatusShown(path.with_name(f"{path.name}.json"), _line)
        work = StreamLearning(
            _learner(dials),
            path,
            cluster=broker.cluster_id(),
            topics=topics,
            settings=broker.client_settings(),
            every_s=snapshot_every.total_seconds(),
            on_status=shown,
        )
        status = work.run(stop, until_end=until_end)
        shown.end(status)
    for warning in status.warnings:
        click.echo(f"recbench: {warning}", err=True)
    save_json(json_path, status.to_json())


@policy.command()
@click.argument("snapshot", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def show(snapshot: Path, json_path: Path | None) -> None:
    """What a snapshot knows, and how far it has read."""
    import numpy as np
    import polars as pl

    from recbench.policy.snapshot import Snapshot

    found = Snapshot.read(snapshot)
    told = dict(found.told)
    rows = [{"": name, "value": str(value)} for name, value in told.items()]
    print_table(pl.DataFrame(rows))
    rates = found.counts.rates(found.counts.item_ids)[:, 0]
    best = np.argsort(-rates, kind="stable")[:SHOWN_ITEMS]
    items = {"item_id": found.counts.item_ids[best], "earns": rates[best]}
    if len(best):
        print_table(pl.DataFrame(items))
    save_json(json_path, told)


policy.add_command(floors)


def _learner(dials: dict[str, Any]) -> "Learner":
    from recbench.evaluation.off_policy.reward import Reward
    from recbench.policy.belief import Relearning
    from recbench.policy.learner import Learner
    from recbench.policy.logged_context import LoggedContexts

    full_watch_ms = int(dials["full_watch"] / timedelta(milliseconds=1))
    return Learner(
        None,
        LoggedContexts(),
        window_us=dials["window"] // MICROSECOND,
        reward=Reward.parse(dials["reward"], full_watch_ms=full_watch_ms),
        lateness_us=dials["allowed_lateness"] // MICROSECOND,
        relearning=Relearning(every=dials["relearn_every"]) if dials["neural"] else None,
        half_life_us=dials["half_life"] / MICROSECOND,
        half_life_events=dials["forget"],
    )


def _line(status: "LearningStatus") -> str:
    told = status.told
    away = f", broker unreachable: {status.unreachable}" if status.unreachable else ""
    mean = told["reward_sum"] / told["n_events"] if told["n_events"] else 0.0
    return (
        f"{told['n_events']:,.0f} decisions learnt, {mean:.4f} earned by each, "
        f"{told['n_pending']:,} wait, {told['n_late']:,} actions late, "
        f"{told['n_unknown']:,} on nothing known, {status.rows_per_s:,.0f} rows/s, "
        f"lag {count_or_unknown(status.lag)}{away}"
    )
