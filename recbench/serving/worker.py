"""One process of the service: an event loop that answers on the connections it is handed."""

import asyncio
import contextlib
import gc
import logging
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import uvicorn

from recbench.policy.explorer import Explorer
from recbench.refresh.registry import Registry
from recbench.serving.app import routes_of
from recbench.serving.connection import connection_class
from recbench.serving.cores import Cores
from recbench.serving.decider import Decider
from recbench.serving.drawn import Chooser
from recbench.serving.exchange import BodyReader, Pending
from recbench.serving.exposures import Exposures, KafkaExposures, NoExposures
from recbench.serving.guard import Guard
from recbench.serving.idle import Helper, lower_helpers
from recbench.serving.live import LiveRelease
from recbench.serving.metrics import Metrics, Shared
from recbench.serving.options import ServiceOptions
from recbench.serving.prepare import prepared
from recbench.serving.real_time import RealTime
from recbench.serving.retire import retire
from recbench.serving.served_release import ServedRelease
from recbench.serving.service import Service, wall_clock_us
from recbench.serving.standby import Standby
from recbench.serving.stored_user import Users, open_users
from recbench.serving.turn import Turn

__all__ = ["READY", "work"]

logger = logging.getLogger(__name__)

READY = b"r"  # what a worker says on its channel once it has a release
KEEP_ALIVE_S = 75
TICK_S = 0.1
SWITCH_S = 1e-4  # a thread that loads a release hands over to the requests fifty times sooner


def work(options: ServiceOptions, channel: socket.socket, shared: Shared, number: int) -> None:
    """Serve until SIGTERM, or until the other end of the channel is gone.

    Args:
        options: of the service.
        channel: connections come over it, and it is told when the worker is ready.
        shared: where the metrics of all workers are.
        number: of this worker, from 0.
    """
    logging.basicConfig(level=logging.INFO, format=f"[worker {number}] %(levelname)s %(message)s")
    for name in ("uvicorn", "faiss"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.setswitchinterval(SWITCH_S)
    server = _Worker(options, channel, Metrics(shared, number), number)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has drained, and then raises it again
        server.run()


class _Worker(uvicorn.Server):
    """Uvicorn's server without a listening socket of its own."""

    def __init__(
        self, options: ServiceOptions, channel: socket.socket, metrics: Metrics, number: int
    ) -> None:
        self._options, self._channel, self._metrics = options, channel, metrics
        self._cores: Cores | None = None
        if options.bind_cores:
            self._cores = Cores(number, n_workers=options.workers, always=options.real_time)
        self._real_time: RealTime | None = None
        limits = options.limits
        self._live = LiveRelease(
            Registry(options.registry),
            options.release,
            load=_loader(options),
            publish=self._in_loop,
        )
        self._users: Users | None = None
        if options.online is not None:
            clock = wall_clock_us
            self._users = open_users(options.online, timeout_s=limits.store_s, now_us=clock)
        self._exposures: Exposures = NoExposures()
        if options.exposures is not None:
            self._exposures = KafkaExposures(options.exposures, metrics.exposures)
        self._pending = Pending()
        bodies = BodyReader(limits, self._pending)
        self._chooser = _chooser(options)
        service = Service(
            self._live, self._users, self._exposures, metrics, limits=limits, explorer=self._chooser
        )
        has_token = options.token is not None
        guard = Guard(
            routes_of(service, metrics, bodies, has_token=has_token),
            token=options.token,
            limits=limits,
            metrics=metrics,
            pending=self._pending,
        )
        turn = None
        if service.waits_for_nothing:
            turn = Turn(service, guard, metrics=metrics, pending=self._pending)
        protocol = connection_class(limits, metrics=metrics, pending=self._pending, turn=turn)
        super().__init__(_config(guard, protocol, drain_s=limits.drain_s))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections, and to look after the release."""
        self._loop = asyncio.get_running_loop()
        if self._cores is not None:
            self._cores.look()
        if self._options.real_time:
            self._real_time = RealTime(self._loop.call_later)
        self._helper, self._users_helper = (
            Helper(is_urgent=self._options.real_time) for _ in range(2)
        )
        await super().startup(sockets=[])
        self._channel.setblocking(False)
        self._loop.add_reader(self._channel.fileno(), self._take_connection)
        self._tasks = [self._loop.create_task(work) for work in (self._look(), self._tick())]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what was begun, then end."""
        self._loop.remove_reader(self._channel.fileno())
        for task in self._tasks:
            task.cancel()
        for helper in (self._helper, self._users_helper):
            helper.close()
        await super().shutdown(sockets)
        await self._loop.run_in_executor(None, self._exposures.close)
        if self._users is not None:
            self._users.close()

    def _in_loop(self, move: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(move)

    def _take_connection(self) -> None:
        try:
            said, handles, _, _ = socket.recv_fds(self._channel, 1, 1)
        except BlockingIOError:
            return
        except ConnectionError:
            said, handles = b"", []
        if not said:  # whoever hands out connections is gone
            self._loop.remove_reader(self._channel.fileno())
            self.should_exit = True
        elif not handles:  # too many files are open here
            self._metrics.closed_one()
        for handle in handles:
            connection = socket.socket(fileno=handle)
            connection.setblocking(False)
            self._loop.create_task(self._serve_connection(connection))

    async def _serve_connection(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._new_protocol, connection)
        except OSError:  # the client has gone meanwhile
            connection.close()
            self._metrics.closed_one()

    def _new_protocol(self) -> asyncio.Protocol:
        new: Any = self.config.http_protocol_class
        made: asyncio.Protocol = new(
            config=self.config, server_state=self.server_state, app_state={}, _loop=self._loop
        )
        return made

    async def _look(self) -> None:
        """Take in new releases and snapshots for ever; neither waits for the other."""
        await self._taken_in(self._renew_users)  # whoever is ready has read them
        await asyncio.gather(*map(self._keep_looking, (self._renew_users, self._renew_release)))

    async def _keep_looking(self, renew: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._taken_in(renew)
            await asyncio.sleep(self._options.look_s)

    async def _taken_in(self, renew: Callable[[], Awaitable[None]]) -> None:
        try:
            await renew()
        except Exception:  # such as a file system that is away: look again
            logger.exception("Looking for news failed")

    async def _renew_users(self) -> None:
        if self._users is not None and self._users.is_stale():
            await self._users_helper.do(self._users.renew)

    async def _renew_release(self) -> None:
        """Load what is new; beside the requests only once there is something to serve."""
        if is_new := self._live.is_stale():
            await self._helper.do(self._load)
            await asyncio.sleep(0)  # the reference has moved now
        served, chooser = self._live.now, self._chooser
        try:
            if isinstance(chooser, Decider) and served is not None and chooser.is_stale(served):
                await self._helper.do(lambda: chooser.renew(served))
        finally:
            if is_new:  # whoever waits for a worker that is ready wants the policy's lists, too
                self._say_what_is_served()
        if self._live.retired:
            await self._helper.do(lambda: retire(self._live.retired))

    def _load(self) -> None:
        self._live.renew()
        lower_helpers()

    async def _tick(self) -> None:
        while True:
            if self._cores is not None:
                self._cores.look()
            if self._real_time is not None:
                self._real_time.look()
                self._metrics.put("recbench_real_time", self._real_time.is_on)
            self._exposures.poll()
            self._metrics.put("recbench_connections", len(self.server_state.connections))
            if isinstance(self._chooser, Decider):
                for name, value in self._chooser.counts().items():
                    self._metrics.put(name, value)
            in_flight = self._pending.n_begun - self._pending.n_answered
            self._metrics.put("recbench_in_flight", in_flight)
            await asyncio.sleep(TICK_S)

    def _say_what_is_served(self) -> None:
        status = self._live.status
        self._metrics.put("recbench_swaps_total", status.n_swaps)
        self._metrics.put("recbench_refused_total", status.n_refused)
        self._metrics.put("recbench_load_seconds", status.load_s)
        self._metrics.put("recbench_ready", status.release is not None)
        if status.release is not None:
            self._metrics.serve(status.release)
            with contextlib.suppress(OSError):
                self._channel.send(READY)
        if not status.n_swaps:  # nobody waits yet: a full collection takes a tenth of a second
            gc.collect()
        gc.freeze()  # what lives as long as a release is not looked at again and again


def _chooser(options: ServiceOptions) -> Chooser | None:
    """What makes lists out of more than they show; None: nothing does."""
    if options.exploration is not None:
        return Explorer(options.exploration, off_switch=options.explore_off)
    if options.policy is None:
        return None
    policy = options.policy
    return Decider(
        policy.dials,
        snapshot=policy.snapshot,
        floor=policy.floor,
        off_switch=options.explore_off,
    )


def _loader(options: ServiceOptions) -> Callable[[Registry, str], ServedRelease]:
    """Makes releases ready: the first here and at once, later ones beside the requests."""
    scratch, precision, served = options.scratch, options.precision, False
    ranks = options.ranker and options.policy is None  # a policy weighs the tower's own scores

    def load(registry: Registry, release: str) -> ServedRelease:
        nonlocal served
        if scratch is None:
            ready = ServedRelease.load(registry.open(release), precision=precision)
        else:
            beside = Standby(scratch) if served else None
            ready = prepared(registry, release, scratch, standby=beside, precision=precision)
        served = True
        return ready if ranks else replace(ready, ranker=None)

    return load


def _config(app: Any, protocol: type[asyncio.Protocol], *, drain_s: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(drain_s)),
    )
