"""A log lived through again: a part of it in the lake, the rest as a stream, features as served.

Everything is real and small: a broker on loopback, an ingester, a follower with an online state.
"""

import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.events.broker import Broker, embedded_broker
from recbench.events.follow import Follower
from recbench.events.ingest import BatchLimits, Ingest
from recbench.events.intake import Intake
from recbench.events.messages import MessageDecoder
from recbench.events.reader import TopicReader
from recbench.events.replay import Disorder, delivery_plan, send
from recbench.events.stream_tables import StreamTables
from recbench.features.batch import Engine, collect, features_at
from recbench.features.definitions import Entity, Feature, LastValues
from recbench.features.online.state import OnlineState
from recbench.features.online.store import Updated

__all__ = ["Lived", "live_through"]

TOPIC = "events"
N_BATCHES = 20
LATENESS = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, eq=False)
class Lived:
    """What was served while the stream went on, and the same computed afterwards."""

    n_backfilled: int
    n_live: int
    values: pl.DataFrame  # entity, ts, feature, online, batch: a row a value asked for


class _Asked:
    """A store that is asked for the entities of every live batch, at the time of its last event."""

    def __init__(self, state: OnlineState) -> None:
        self.answers: dict[Entity, list[pl.DataFrame]] = {}
        self._state = state

    @property
    def positions(self) -> Mapping[str, int]:
        return self._state.positions

    def update(
        self,
        events: pl.DataFrame,
        *,
        positions: Mapping[str, int] | None = None,
        watermark_us: int | None = None,
    ) -> Updated:
        is_live = bool(self._state.positions)
        updated = self._state.update(events, positions=positions, watermark_us=watermark_us)
        if is_live and len(events):
            last_us = events[c.TS].dt.epoch("us").to_numpy().max()
            for entity in dict.fromkeys(feature.entity for feature in self._state.features):
                ids = events[entity].drop_nulls().unique().sort()
                answer = self._state.lookup_many(entity, ids, at_us=int(last_us))
                self.answers.setdefault(entity, []).append(answer)
        return updated


def live_through(
    events: pl.DataFrame,
    features: Sequence[Feature],
    *,
    live_frac: float = 0.2,
    engine: Engine = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> Lived:
    """Stream the last ``live_frac`` of the events behind a backfill of the others.

    After each of about twenty batches of the live stream the features of its users, items and
    categories are looked up as a server would, at the time of the batch's last event, and later
    computed over the whole log for the same instants.

    Args:
        events: canonical, in order of time.
        features: to serve; lists are not compared as numbers and are left out of ``values``.
        live_frac: share of the events, in (0, 1).
        engine: computes the features afterwards.
        progress: is told what is going on.

    Raises:
        InputError: one of the two parts would be empty.
    """
    n_first = int(len(events) * (1 - live_frac))
    if not 0 < n_first < len(events):
        raise InputError(f"`live_frac` leaves one part of {len(events)} events empty: {live_frac}")
    with tempfile.TemporaryDirectory() as folder, embedded_broker(Path(folder)) as broker:
        broker.create_topic(TOPIC, partitions=1)  # one order of arrival
        source = f"{broker.cluster_id()}/{TOPIC}"
        tables = StreamTables(Path(folder) / "lake", source)
        plan = delivery_plan(events, Disorder())
        progress(f"{n_first:,} events through Kafka into a lake")
        send(broker, TOPIC, plan.head(n_first))
        _ingest(broker, tables)
        progress(f"{len(events) - n_first:,} events behind them, as a live stream")
        send(broker, TOPIC, plan.tail(len(events) - n_first))
        asked = _Asked(OnlineState(features))
        follower = Follower(
            asked,
            tables,
            settings=broker.client_settings(),
            topic=TOPIC,
            new_intake=_new_intake(source),
            batch_rows=-(-(len(events) - n_first) // N_BATCHES),
        )
        status = follower.run(threading.Event(), until_end=True)
    values = [
        _compared(pl.concat(answers), events, features, entity=entity, engine=engine)
        for entity, answers in asked.answers.items()
    ]
    return Lived(status.n_backfilled, status.n_events, pl.concat(values))


def _new_intake(source: str) -> Callable[[], Intake]:
    decoder = MessageDecoder(source)
    return lambda: Intake(decoder, allowed_lateness=LATENESS)


def _ingest(broker: Broker, tables: StreamTables) -> None:
    Ingest(
        tables,
        open_reader=lambda ownership: TopicReader(
            broker.client_settings(), TOPIC, group=TOPIC, ownership=ownership
        ),
        new_intake=_new_intake(tables.source),
        limits=BatchLimits(),
        on_status=lambda _: None,
    ).run(threading.Event(), until_end=True)


def _compared(
    served: pl.DataFrame,
    events: pl.DataFrame,
    features: Sequence[Feature],
    *,
    entity: Entity,
    engine: Engine,
) -> pl.DataFrame:
    """The numbers that were served beside those computed over the whole log."""
    own = [f for f in features if f.entity == entity and not isinstance(f, LastValues)]
    points = served.select(entity, c.TS)
    again = collect(features_at(events.lazy(), points.lazy(), own, engine=engine), engine=engine)
    return pl.concat(
        points.select(
            pl.lit(entity).alias("entity"),
            c.TS,
            pl.lit(feature.name).alias("feature"),
            served[feature.name].cast(pl.Float64).alias("online"),
            again[feature.name].cast(pl.Float64).alias("batch"),
        )
        for feature in own
    )
