"""``recbench replay``: a data set to Kafka."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.input import Duration
from recbench.cli.output import json_option, save_json
from recbench.cli.streams import broker_options, librdkafka_settings, stopped_by_signals
from recbench.settings import workspace_path

if TYPE_CHECKING:
    import polars as pl

    from recbench.events.broker import Broker
    from recbench.events.replay import Sent

__all__ = ["replay"]

RATE = click.FloatRange(0, 1)
INTERRUPTED = 130  # the exit code of whatever Ctrl-C has ended


class _Speed(click.ParamType[float | None]):
    """``realtime``, ``10x`` and so on, or ``max``: None."""

    name = "speed"

    def convert(self, value: Any, param: Any, ctx: Any) -> float | None:
        text = str(value).strip()
        if text in {"realtime", "max"}:
            return 1.0 if text == "realtime" else None
        try:
            speed = float(text.removesuffix("x"))
        except ValueError:
            speed = 0.0
        if not 0 < speed < float("inf"):
            self.fail(f"{value!r} is no speed; write realtime, 10x or max", param, ctx)
        return speed


@click.command()
@click.option(
    "--data", "name", required=True, help="A catalogue name, Parquet file or Delta table."
)
@click.option("--topic", default="events", show_default=True, help="Made if it is not there.")
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Of a topic that is made.",
)
@broker_options
@click.option(
    "--speed", type=_Speed(), default="max", show_default=True, help="realtime, 10x, …, or max."
)
@click.option(
    "--from", "from_frac", type=click.FloatRange(0, 1), default=0.0, help="Leave out this share."
)
@click.option("--limit", type=click.IntRange(min=1), help="Send so many events at most.")
@click.option("--shuffle-window", type=Duration(), default="0s", help="Events may swap within it.")
@click.option("--duplicates", type=RATE, default=0.0, help="Share of events sent twice.")
@click.option("--late", type=RATE, default=0.0, help="Share of events held back.")
@click.option("--late-by", type=Duration(), default="1h", show_default=True)
@click.option(
    "--shift-to-now/--keep-times",
    default=False,
    help="Move all times: at realtime the first event happens now, faster the last one.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--keep-broker/--no-keep-broker",
    default=True,
    help="Keep a broker that was started here until Ctrl-C; its events end with it.",
)
@json_option
def replay(
    *,
    topic: str,
    partitions: int,
    bootstrap_servers: str | None,
    assignments: tuple[str, ...],
    keep_broker: bool,
    json_path: Path | None,
    **dials: Any,
) -> None:
    """Send a data set's events to a topic, in the order of their times.

    Times stay as they are unless told otherwise, and arrival_ts says when, in event time, an event
    was sent. Users go to partitions by Kafka's own hash. Ctrl-C ends the sending early: what was
    handed to the broker is delivered first, and the exit code is 130.
    """
    from recbench.events.broker import open_broker

    folder, settings = workspace_path() / "broker", librdkafka_settings(assignments)
    with open_broker(bootstrap_servers, folder=folder, settings=settings) as broker:
        plan = _plan(**dials)
        made = broker.create_topic(topic, partitions=partitions)
        click.echo(
            f"Sending {len(plan):,} messages to {'the new topic' if made else 'topic'} `{topic}` "
            f"of {broker.origin}"
        )
        with stopped_by_signals() as stop:
            sent = _send(broker, topic, plan, speed=dials["speed"], stop=stop)
            click.echo(_summary(sent, n_planned=len(plan)))
            figures = {"n_planned": len(plan), "events_per_s": sent.per_s}
            save_json(json_path, asdict(sent) | figures)
            if sent.n_events < len(plan):
                sys.exit(INTERRUPTED)
            if broker.ends_with_us and keep_broker and not stop.is_set():
                click.echo("The broker stays until Ctrl-C; `recbench ingest` finds it by itself")
                stop.wait()


def _summary(sent: "Sent", *, n_planned: int) -> str:
    short = sent.n_events < n_planned
    part = f"Stopped: sent {sent.n_events:,} of {n_planned:,}" if short else f"Sent {n_planned:,}"
    return (
        f"{part} messages in {sent.seconds:.1f} s, {sent.per_s:,.0f}/s; "
        f"{sent.n_duplicates:,} duplicates, {sent.n_late:,} held back"
    )


def _plan(
    name: str,
    *,
    from_frac: float,
    limit: int | None,
    shift_to_now: bool,
    speed: float | None,
    seed: int,
    **disorder: Any,
) -> "pl.DataFrame":
    from recbench.datasets import load
    from recbench.errors import InputError
    from recbench.events.replay import Disorder, delivery_plan, shifted_to

    log = load(name, workspace=workspace_path()).events
    events = log.slice(int(from_frac * len(log)), limit)
    if not len(events):
        raise InputError(f"--from {from_frac} leaves none of the {len(log)} events of {name}")
    untidy = Disorder(
        window=disorder["shuffle_window"],
        duplicates=disorder["duplicates"],
        late=disorder["late"],
        late_by=disorder["late_by"],
    )
    plan = delivery_plan(events, untidy, seed=seed)
    return shifted_to(plan, datetime.now(UTC), speed=speed) if shift_to_now else plan


def _send(
    broker: "Broker",
    topic: str,
    plan: "pl.DataFrame",
    *,
    speed: float | None,
    stop: threading.Event,
) -> "Sent":
    from confluent_kafka import KafkaException

    from recbench.errors import JobError
    from recbench.events.replay import send

    try:
        with _bar(len(plan)) as on_sent:
            return send(broker, topic, plan, speed=speed, stop=stop, on_sent=on_sent)
    except KafkaException as error:
        raise JobError(
            f"The broker at {broker.bootstrap_servers} has not taken every message: "
            f"{error.args[0].str()}"
        ) from error


@contextmanager
def _bar(total: int) -> Iterator[Any]:
    from recbench.progress import bar

    shown = sys.stderr.isatty()
    with bar(total, unit="event", stream=sys.stderr, disable=not shown) as done:
        yield done.update
