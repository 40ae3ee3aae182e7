"""How much of everything a size of the world takes, and what gives way first: plain arithmetic."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from recbench.cluster.energy import BUSY_THREAD_W, IDLE_THREAD_W
from recbench.cluster.unit_costs import UnitCosts
from recbench.errors import InputError

__all__ = ["Assumptions", "StagePlan", "World", "capacity_plan", "totals"]

HOUR_S, DAY_S, MONTH_D = 3600.0, 86_400.0, 30.4


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is to be served; rates are those of the top of the day."""

    users: float = 100e6
    items: float = 100e6
    events_per_s: float = 1e6
    requests_per_s: float = 50e3  # one list of twenty shown, seen or clicked is twenty events

    def __post_init__(self) -> None:
        """Nothing can be negative or none."""
        for part in fields(self):
            if not getattr(self, part.name) > 0:
                raise InputError(f"`{part.name}` must be positive, got {getattr(self, part.name)}")

    def times(self, factor: float) -> "World":
        """So many times as many of everything."""
        return World(**{part.name: getattr(self, part.name) * factor for part in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What was not measured, stated."""

    mean_of_peak: float = 0.5  # events of a day over events of a day that is all peak
    clicked: float = 0.05  # share of events that training learns from
    busy: float = 0.6  # of a thread at the top of the day; the rest is headroom
    threads: int = 64  # of a machine
    memory_bytes: float = 256e9  # of a machine
    machine_price: float = 3.0  # an hour
    storage_price: float = 0.023  # a month for a gigabyte of an object store
    lake_days: float = 90.0  # that are kept
    refresh_s: float = 900.0
    rebuild_s: float = 8 * HOUR_S  # a full fit may take a night
    backfill_s: float = HOUR_S  # features of a day, anew
    partitions: float = 1000.0  # of a topic, that a Kafka cluster carries without care
    broker_bytes_per_s: float = 100e6  # that a broker takes in, replicas counted
    replicas: float = 3.0
    commits_per_s: float = 1.0  # of one Delta table with several writers
    commit_every_s: float = 10.0  # of each ingester
    search_s: float = 0.004  # that a request may spend in the index


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What the design as it is has least of, how much of it is used, and what takes over."""

    what: str
    used: float  # above 1: it does not go
    then: str


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage at one size."""

    stage: str
    threads: float
    memory_bytes: float
    storage_bytes: float
    machines: int
    money_per_day: float
    kwh_per_day: float
    bottlenecks: Sequence[Bottleneck]  # the first one first


Size = tuple[World, UnitCosts, Assumptions]
Number = Callable[[World, UnitCosts, Assumptions], float]
Ladder = tuple[tuple[float, str], ...]  # what takes over, each from so many times what there is


@dataclass(frozen=True, slots=True)
class _Stage:
    name: str
    threads: Number  # busy at the top of the day
    memory: Number
    limits: Sequence[tuple[str, Number, Ladder]]
    storage: Number = lambda _w, _c, _a: 0.0


def capacity_plan(world: World, costs: UnitCosts, assumed: Assumptions) -> list[StagePlan]:
    """Threads, memory, machines, money, energy and the first bottleneck of every stage."""
    return [_planned(stage, (world, costs, assumed)) for stage in STAGES]


def _planned(stage: _Stage, size: Size) -> StagePlan:
    assumed = size[2]
    busy, memory, storage = stage.threads(*size), stage.memory(*size), stage.storage(*size)
    threads = busy / assumed.busy
    machines = max(
        1, math.ceil(threads / assumed.threads), math.ceil(memory / assumed.memory_bytes)
    )
    # all threads of a machine are lit, and those in use burn, half of them over the day's mean
    watts = machines * assumed.threads * IDLE_THREAD_W
    watts += busy * assumed.mean_of_peak * (BUSY_THREAD_W - IDLE_THREAD_W)
    stored = storage / 1e9 * assumed.storage_price / MONTH_D
    money = machines * assumed.machine_price * 24 + stored
    limits = [
        Bottleneck(what, used(*size), _then(used(*size), ladder))
        for what, used, ladder in stage.limits
    ]
    limits.sort(key=lambda limit: -limit.used)
    kwh = watts * 24 / 1000
    return StagePlan(stage.name, threads, memory, storage, machines, money, kwh, limits)


def _then(used: float, ladder: Ladder) -> str:
    """The highest rung that has been reached; the lowest where none has."""
    return next((what for least, what in reversed(ladder) if used > least), ladder[0][1])


def _events_a_day(world: World, _: UnitCosts, assumed: Assumptions) -> float:
    return world.events_per_s * assumed.mean_of_peak * DAY_S


def _ingesters(world: World, costs: UnitCosts, _: Assumptions) -> float:
    return world.events_per_s / costs["ingest_events_per_thread_s"]


def _ids(world: World, costs: UnitCosts, assumed: Assumptions) -> float:
    return _events_a_day(world, costs, assumed) * costs["recent_id_bytes"]


def _index_bytes(world: World, costs: UnitCosts, _: Assumptions) -> float:
    return world.items * costs["index_bytes_per_item"]


def _search_s(world: World, costs: UnitCosts, _: Assumptions) -> float:
    """Cells grow with the square root of the catalogue, and so does what lies in those visited."""
    return costs["search_s_at_a_million"] * math.sqrt(world.items / 1e6)


def _serving(world: World, costs: UnitCosts, assumed: Assumptions) -> float:
    return world.requests_per_s * (costs["request_cpu_s"] + _search_s(world, costs, assumed))


def _serving_memory(world: World, costs: UnitCosts, assumed: Assumptions) -> float:
    """A copy of the index in every machine."""
    machines = math.ceil(_serving(world, costs, assumed) / assumed.busy / assumed.threads)
    return machines * _index_bytes(world, costs, assumed)


def _refresh(world: World, costs: UnitCosts, assumed: Assumptions) -> float:
    """Reading the window's events, at the speed of features, and the update; in half the time."""
    events = world.events_per_s * assumed.refresh_s
    cpu_s = events / costs["features_events_per_thread_s"] + costs["refresh_cpu_s"]
    build_s = world.items * costs["index_build_s_per_item"]
    return (cpu_s + build_s) / (assumed.refresh_s / 2)


def _rebuild(world: World, costs: UnitCosts, assumed: Assumptions) -> float:
    clicks = _events_a_day(world, costs, assumed) * assumed.clicked
    return clicks / costs["train_positions_per_thread_s"] / assumed.rebuild_s


def _table_bytes(world: World, costs: UnitCosts, _: Assumptions) -> float:
    return world.items * costs["table_bytes_per_item"]


def _tables(world: World, costs: UnitCosts, assumed: Assumptions) -> float:
    return _table_bytes(world, costs, assumed) / assumed.memory_bytes


def _backfill(world: World, costs: UnitCosts, assumed: Assumptions) -> float:
    events = _events_a_day(world, costs, assumed)
    return events / costs["features_events_per_thread_s"] / assumed.backfill_s


def _day_in_memory(world: World, costs: UnitCosts, assumed: Assumptions) -> float:
    return _events_a_day(world, costs, assumed) * 64  # eight columns of eight bytes


def _online(world: World, costs: UnitCosts, _: Assumptions) -> float:
    return world.events_per_s / costs["online_updates_per_thread_s"]


def _online_bytes(world: World, costs: UnitCosts, _: Assumptions) -> float:
    return world.users * costs["online_bytes_per_user"]


def _broker_bytes(world: World, costs: UnitCosts, assumed: Assumptions) -> float:
    return world.events_per_s * costs["message_bytes"] * assumed.replicas


def _lake_bytes(world: World, costs: UnitCosts, assumed: Assumptions) -> float:
    events = _events_a_day(world, costs, assumed) * assumed.lake_days
    return events * costs["lake_bytes_per_event"]


TABLES: Ladder = (
    (1, "tables by rows over ranks"),
    (10, "torchrec's sharded tables on GPUs, cold rows in host memory"),
)
# The file is as long as this table, which says nothing when it is cut up.
STAGES: Sequence[_Stage] = (
    _Stage(
        "broker",
        # a broker of eight threads and 64 GB for what it takes in
        lambda w, c, a: 8 * a.busy * _broker_bytes(w, c, a) / a.broker_bytes_per_s,
        lambda w, c, a: 64e9 * _broker_bytes(w, c, a) / a.broker_bytes_per_s,
        [
            (
                "partitions, one an ingester",
                lambda w, c, a: _ingesters(w, c, a) / a.partitions,
                ((1, "several topics, by hash of the user"),),
            ),
            (
                "brokers of one Kafka cluster, a hundred",
                lambda w, c, a: _broker_bytes(w, c, a) / a.broker_bytes_per_s / 100,
                ((1, "a Kafka cluster for each region, mirrored; or Pulsar, its storage apart"),),
            ),
        ],
        # three days are kept
        lambda w, c, a: 3 * a.replicas * _events_a_day(w, c, a) * c["message_bytes"],
    ),
    _Stage(
        "ingest",
        _ingesters,
        _ids,
        [
            (
                "commits to one Delta table",
                lambda w, c, a: _ingesters(w, c, a) / a.commit_every_s / a.commits_per_s,
                (
                    (1, "a table for each group of partitions"),
                    (10, "Flink's Delta sink: one committer for all writers of a region"),
                ),
            ),
            (
                "ids of a day in an ingester's memory, 8 GB",
                lambda w, c, a: _ids(w, c, a) / max(1, _ingesters(w, c, a)) / 8e9,
                ((1, "more ingesters and an hour of ids; for a day Flink's keyed state on disk"),),
            ),
        ],
        _lake_bytes,
    ),
    _Stage(
        "features, a day anew",
        _backfill,
        lambda w, c, a: _day_in_memory(w, c, a) / 4,  # a fourth of the day at once
        [
            (
                "a day's rows in one process",
                lambda w, c, a: _day_in_memory(w, c, a) / a.memory_bytes,
                (
                    (1, "one Polars query a Dask task, over users by hash; on GPUs by cudf-polars"),
                    (100, "Spark, or Flink in batch mode, by the same declarations as SQL"),
                ),
            ),
        ],
    ),
    _Stage(
        "online state",
        _online,
        _online_bytes,
        [
            (
                "updates of one process",
                _online,
                (
                    (1, "one follower for each group of partitions"),
                    (100, "Flink's keyed windows, the same declarations as SQL"),
                ),
            ),
            (
                "users in one machine's memory",
                lambda w, c, a: _online_bytes(w, c, a) / a.memory_bytes,
                (
                    (1, "Redis Cluster, users by hash"),
                    (30, "a store on flash (Aerospike, ScyllaDB), Redis before it"),
                ),
            ),
        ],
    ),
    _Stage(
        "refresh, each quarter of an hour",
        _refresh,
        lambda w, c, a: _table_bytes(w, c, a) + _index_bytes(w, c, a),
        [
            (
                "building the index, one process, half the time",
                lambda w, c, a: w.items * c["index_build_s_per_item"] / (a.refresh_s / 2),
                (
                    (1, "changed items only, a full build at night"),
                    (10, "FAISS by shards, each built by a worker"),
                    (100, "cuVS by shards, built on GPUs"),
                ),
            ),
            ("tables and optimiser in one machine", _tables, TABLES),
        ],
    ),
    _Stage(
        "rebuild, each night",
        _rebuild,
        _table_bytes,
        [
            (
                "one rank of sixteen threads",
                lambda w, c, a: _rebuild(w, c, a) / 16,
                ((1, "ranks on Dask's workers (gloo)"), (10, "ranks on GPUs (nccl)")),
            ),
            ("tables and optimiser in one machine", _tables, TABLES),
        ],
    ),
    _Stage(
        "serving",
        _serving,
        _serving_memory,
        [
            (
                "the time of a search",
                lambda w, c, a: _search_s(w, c, a) / a.search_s,
                (
                    (1, "FAISS by shards of items, asked at once"),
                    (3, "cuVS by shards on GPUs, towers and index behind Triton"),
                ),
            ),
            (
                "the index in half of one machine's memory",
                lambda w, c, a: _index_bytes(w, c, a) / a.memory_bytes * 2,
                (
                    (1, "the index by shards of items; packed codes where nobody clicks"),
                    (10, "a region serves its own items; the rest by packed codes"),
                ),
            ),
        ],
    ),
)


def totals(plans: Sequence[StagePlan]) -> Mapping[str, float]:
    """Of all stages together."""
    return {
        name: sum(getattr(plan, name) for plan in plans)
        for name in ("machines", "money_per_day", "kwh_per_day", "storage_bytes")
    }
