"""``recbench ingest``: Kafka to the lake."""

import os
import socket
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.input import Duration
from recbench.cli.output import json_option, save_json
from recbench.cli.streams import (
    StatusShown,
    broker_options,
    count_or_unknown,
    librdkafka_settings,
    plain_name,
    sole_holder,
    stopped_by_signals,
)
from recbench.settings import workspace_path

if TYPE_CHECKING:
    from recbench.events.broker import Broker
    from recbench.events.ingest import Ingest
    from recbench.events.message_types import FieldType
    from recbench.events.status import IngestStatus
    from recbench.events.stream_tables import StreamTables

__all__ = ["ingest"]


@click.command()
@click.option("--topic", default="events", show_default=True, help="The topic to read.")
@click.option("--stream", help="The folder in the lake; default: the topic's name.")
@broker_options
@click.option("--group", help="Ingesters of one group share the topic; default: the stream's name.")
@click.option("--id", "name", help="Of this ingester, for its status file; default: host and pid.")
@click.option(
    "--allowed-lateness",
    type=Duration(),
    default="5m",
    show_default=True,
    help="An event further behind its partition's latest is flagged late.",
)
@click.option("--batch-rows", type=click.IntRange(min=1), default=100_000, show_default=True)
@click.option("--batch-time", type=Duration(), default="5s", show_default=True)
@click.option("--compact-every", type=Duration(), default="10m", show_default=True)
@click.option(
    "--ids",
    "id_type",
    type=click.Choice(["int", "string"]),
    default="int",
    show_default=True,
    help="What event_id and request_id are.",
)
@click.option("--max-message-bytes", type=click.IntRange(min=1), default=1 << 20, show_default=True)
@click.option(
    "--field",
    "fields",
    metavar="NAME:TYPE",
    multiple=True,
    help="Give this field of the messages a column: int, float, string or bool.",
)
@click.option("--until-end", is_flag=True, help="Stop where the topic ends now.")
@click.option("--skip-deleted", is_flag=True, help="Go on where the broker has deleted messages.")
@click.option("--track", is_flag=True, help="Also record the figures as a run, and in W&B.")
@json_option
def ingest(
    *,
    topic: str,
    stream: str | None,
    bootstrap_servers: str | None,
    assignments: tuple[str, ...],
    name: str | None,
    until_end: bool,
    track: bool,
    json_path: Path | None,
    **dials: Any,
) -> None:
    """Read a topic of JSON events into the lake, each exactly once, until Ctrl-C.

    Events go to <workspace>/lake/STREAM/events, what is no event to dead_letters beside it. The
    offsets are committed with the rows: a killed ingester, started again, goes on where the lake
    ends. Several may run side by side; a status file each lies in STREAM/ingesters.
    """
    from recbench.events.broker import open_broker

    stream = plain_name("stream", stream or topic)
    name = plain_name("id", name or f"{socket.gethostname()}-{os.getpid()}")
    folder, brokers = workspace_path() / "lake" / stream, workspace_path() / "broker"
    lock, what = folder / "ingesters" / f"{name}.lock", f"An ingester with the id `{name}`"
    settings = librdkafka_settings(assignments)
    with (
        sole_holder(lock, what=what),
        open_broker(bootstrap_servers, folder=brokers, settings=settings) as broker,
        stopped_by_signals() as stop,
    ):
        click.echo(f"Reading `{topic}` of {broker.origin} into {folder}")
        about = {"id": name, "topic": topic}
        shown = StatusShown(folder / "ingesters" / f"{name}.json", _line, about)
        told: list[StatusShown | _Tracked] = [shown, *([_Tracked()] if track else [])]
        if bootstrap_servers is None:
            broker.create_topic(topic, partitions=4)
        work = _prepared(broker, topic, folder=folder, on_status=partial(_tell, told), dials=dials)
        try:
            status = work.run(stop, until_end=until_end)
        finally:
            for each in told:
                each.end(work.status)
    save_json(json_path, status.to_json())


def _prepared(
    broker: "Broker",
    topic: str,
    *,
    folder: Path,
    on_status: Callable[..., None],
    dials: dict[str, Any],
) -> "Ingest":
    from recbench.events.ingest import BatchLimits, Ingest
    from recbench.events.intake import Intake
    from recbench.events.messages import MessageDecoder
    from recbench.events.reader import TopicReader
    from recbench.events.stream_tables import StreamTables

    broker.partitions_of(topic)  # fails where there is no such topic
    source = f"{broker.cluster_id()}/{topic}"
    decoder = MessageDecoder(
        source,
        id_type=dials["id_type"],
        max_message_bytes=dials["max_message_bytes"],
        fields=_fields(dials["fields"]),
    )
    tables = StreamTables(folder, source)
    _require_ids(tables, dials["id_type"])
    return Ingest(
        tables,
        open_reader=lambda ownership: TopicReader(
            broker.client_settings(),
            topic,
            group=dials["group"] or f"recbench-{folder.name}",
            ownership=ownership,
            skip_deleted=dials["skip_deleted"],
        ),
        new_intake=lambda: Intake(decoder, allowed_lateness=dials["allowed_lateness"]),
        limits=BatchLimits(
            rows=dials["batch_rows"],
            seconds=dials["batch_time"] / timedelta(seconds=1),
            compact_every_s=dials["compact_every"] / timedelta(seconds=1),
        ),
        on_status=on_status,
    )


def _fields(declared: tuple[str, ...]) -> "dict[str, FieldType]":
    from recbench.events.message_types import POLARS_TYPES

    parted = {one: one.partition(":") for one in declared}
    wrong = [one for one, (name, _, kind) in parted.items() if not name or kind not in POLARS_TYPES]
    if wrong:
        kinds = ", ".join(POLARS_TYPES)
        raise click.BadParameter(f"--field takes NAME:TYPE, of {kinds}; got {wrong[0]!r}")
    return {name: kind for name, _, kind in parted.values()}  # type: ignore[misc]  # the parts were checked above


def _require_ids(tables: "StreamTables", id_type: str) -> None:
    """Refuse to mix integers and texts in one column."""
    import polars as pl

    from recbench import columns as c
    from recbench.errors import InputError

    if not tables.events.exists:
        return
    held = "string" if tables.events.read().collect_schema()[c.EVENT_ID] == pl.String else "int"
    if held != id_type:
        raise InputError(
            f"The events in {tables.folder} have ids of the kind `{held}`; go on with --ids "
            f"{held}, or give these a stream of their own with --stream"
        )


def _tell(told: "Sequence[Callable[[IngestStatus], None]]", status: "IngestStatus") -> None:
    for each in told:
        each(status)


class _Tracked:
    """The status as a run's metrics."""

    def __init__(self) -> None:
        self._n_logged = 0

    def __call__(self, status: "IngestStatus") -> None:
        from recbench.tracking.record import log_metrics

        log_metrics(_figures(status), step=self._n_logged)
        self._n_logged += 1

    def end(self, status: "IngestStatus") -> None:
        from recbench.tracking.record import log_summary

        log_summary(_figures(status) | {"state": status.state})


def _figures(status: "IngestStatus") -> dict[str, float]:
    values = status.to_json()
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _line(status: "IngestStatus") -> str:
    watermark = f"{status.watermark:%Y-%m-%d %H:%M:%S}" if status.watermark else "none yet"
    counts = {
        "dead letters": status.n_dead_letters,
        "duplicates": status.n_duplicates,
        "late": status.n_late,
    }
    return (
        f"{status.state}: {status.n_events:,} events, {status.messages_per_s:,.0f}/s, "
        f"lag {count_or_unknown(status.lag)}, watermark {watermark}"
        + "".join(f", {count:,} {name}" for name, count in counts.items() if count)
    )
