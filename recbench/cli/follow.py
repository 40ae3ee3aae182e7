"""``recbench follow``: keep the online features up to date."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
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
    from recbench.events.follow import FollowedStore, Follower, FollowStatus

__all__ = ["follow"]


@click.command()
@click.option("--topic", default="events", show_default=True, help="The topic to follow.")
@click.option("--stream", help="Its folder in the lake; default: the topic's name.")
@broker_options
@click.option(
    "--redis",
    "redis_url",
    metavar="URL",
    help="Keep the features in Redis, for several servers; default: a snapshot in the lake.",
)
@click.option(
    "--allowed-lateness",
    type=Duration(),
    default="5m",
    show_default=True,
    help="As the ingester's: later events are left out.",
)
@click.option(
    "--ids", "id_type", type=click.Choice(["int", "string"]), default="int", show_default=True
)
@click.option("--snapshot-every", type=Duration(), default="1m", show_default=True)
@click.option("--until-end", is_flag=True, help="Stop where the topic ends now.")
@json_option
def follow(
    *,
    topic: str,
    stream: str | None,
    bootstrap_servers: str | None,
    assignments: tuple[str, ...],
    redis_url: str | None,
    snapshot_every: timedelta,
    until_end: bool,
    json_path: Path | None,
    **dials: Any,
) -> None:
    """Follow a topic into the shipped features of users, items and categories, until Ctrl-C.

    What the lake has of the stream comes first, then the live stream from the very offsets where
    the lake ends. The state is saved together with its offsets, and the next start goes on there.
    """
    from recbench.events.broker import open_broker

    folder = workspace_path() / "lake" / plain_name("stream", stream or topic)
    brokers, settings = workspace_path() / "broker", librdkafka_settings(assignments)
    with (
        sole_holder(folder / "follower.lock", what="A follower"),
        open_broker(bootstrap_servers, folder=brokers, settings=settings) as broker,
        stopped_by_signals() as stop,
    ):
        broker.partitions_of(topic)
        source = f"{broker.cluster_id()}/{topic}"
        with _kept(redis_url, folder, source) as (store, save, place):
            click.echo(f"Following `{topic}` of {broker.origin} into {place}")
            shown, due = StatusShown(folder / "follower.json", _line), _Every(snapshot_every)

            def on_status(status: "FollowStatus") -> None:
                shown(status)
                if due():
                    save()

            work = _follower(store, broker, topic, folder=folder, on_status=on_status, dials=dials)
            try:
                status = work.run(stop, until_end=until_end)
            finally:
                save()
                shown.end(work.status)
    save_json(json_path, status.to_json())


@contextmanager
def _kept(
    redis_url: str | None, folder: Path, source: str
) -> "Iterator[tuple[FollowedStore, Callable[[], None], str]]":
    """The store as it was left, how to save it, and where it is; each source has one of its own."""
    from recbench.features.shipped import SHIPPED_FEATURES

    name = f"online-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    if redis_url is not None:
        from recbench.features.online.redis_store import RedisStore

        with RedisStore(redis_url, SHIPPED_FEATURES, name=f"{folder.name}-{name}") as store:
            yield store, lambda: None, f"Redis at {redis_url}, store {folder.name}-{name}"
        return
    from recbench.features.online import OnlineState

    path = folder / f"{name}.safetensors"
    left = OnlineState.restore(path, SHIPPED_FEATURES) if path.exists() else None
    state = left or OnlineState(SHIPPED_FEATURES)
    yield state, lambda: state.snapshot(path), str(path)


def _follower(
    store: "FollowedStore",
    broker: "Broker",
    topic: str,
    *,
    folder: Path,
    on_status: "Callable[[FollowStatus], None]",
    dials: dict[str, Any],
) -> "Follower":
    from recbench.events.follow import Follower
    from recbench.events.intake import Intake
    from recbench.events.messages import MessageDecoder
    from recbench.events.stream_tables import StreamTables

    source = f"{broker.cluster_id()}/{topic}"
    decoder = MessageDecoder(source, id_type=dials["id_type"])
    return Follower(
        store,
        StreamTables(folder, source),
        settings=broker.client_settings(),
        topic=topic,
        new_intake=lambda: Intake(decoder, allowed_lateness=dials["allowed_lateness"]),
        on_status=on_status,
    )


class _Every:
    """Says now and then that it is time."""

    def __init__(self, gap: timedelta) -> None:
        self._gap_s, self._last = gap / timedelta(seconds=1), time.monotonic()

    def __call__(self) -> bool:
        if time.monotonic() - self._last < self._gap_s:
            return False
        self._last = time.monotonic()
        return True


def _line(status: "FollowStatus") -> str:
    watermark = f"{status.watermark:%Y-%m-%d %H:%M:%S}" if status.watermark else "none yet"
    away = f", broker unreachable: {status.unreachable}" if status.unreachable else ""
    return (
        f"{status.n_backfilled:,} events backfilled, {status.n_events:,} followed, "
        f"{status.events_per_s:,.0f}/s, lag {count_or_unknown(status.lag)}, "
        f"watermark {watermark}{away}"
    )
