"""The requests that one turn of the event loop brought, answered together.

A query tower runs four histories in little more than twice the time of one, so whoever waits for
others gains by being answered with them. Nobody waits for requests that have not come: sockets are
looked at once more, and that is all.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from recbench.errors import InputError
from recbench.serving.exchange import Headers, Pending, Refused, Reply
from recbench.serving.guard import FAULT, Guard, refusal
from recbench.serving.metrics import Metrics
from recbench.serving.service import Listed, Service

__all__ = ["Turn", "WholeRequest"]

logger = logging.getLogger(__name__)

TOGETHER = 8  # more in one call of the tower gain nothing, and let the first of them wait


class WholeRequest(NamedTuple):
    """A request for a list."""

    body: bytes
    headers: Headers
    reply: Callable[[Reply], None]


class Turn:
    """Answers at the end of a turn what came in it, at most so many at once.

    Args:
        service: makes the lists, without waiting for anything.
        guard: lets requests in.
        metrics: told of every answer.
        pending: counts the requests.
    """

    def __init__(
        self, service: Service, guard: Guard, *, metrics: Metrics, pending: Pending
    ) -> None:
        self._service, self._guard = service, guard
        self._metrics, self._pending = metrics, pending
        self._waiting: list[tuple[WholeRequest, float]] = []

    def add(self, request: WholeRequest) -> None:
        """Answer this one too; at once, where it may not come in."""
        began = time.perf_counter()
        try:
            self._guard.admit(request.headers, route="recommend")
        except Refused as refused:
            self._reply(request, refusal(refused), began)
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._look_once_more)
        self._waiting.append((request, began))

    def _look_once_more(self) -> None:
        """Read what has come by now, too."""
        asyncio.get_running_loop().call_soon(self.answer)

    def answer(self) -> None:
        """What waits now; the rest of a crowd after others have had their turn."""
        together, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self.answer)
        if not together:
            return
        listed = self._listed([request.body for request, _ in together])
        for (request, began), one in zip(together, listed, strict=True):
            self._reply(request, _reply_of(one), began)
        for one in listed:
            if isinstance(one, Listed):
                one.note()  # the clients do not wait for it

    def _listed(self, bodies: list[bytes]) -> Sequence[Listed | Refused | InputError | None]:
        """None where the service fails."""
        try:
            return self._service.recommend_all(bodies)
        except Exception:
            logger.exception("POST /recommend failed, %d times", len(bodies))
            return [None] * len(bodies)

    def _reply(self, request: WholeRequest, reply: Reply, began: float) -> None:
        self._pending.n_answered += 1
        self._metrics.answered("recommend", reply.status, time.perf_counter() - began)
        request.reply(reply)


def _reply_of(one: Listed | Refused | InputError | None) -> Reply:
    if isinstance(one, Listed):
        return Reply(200, one.body)
    return FAULT if one is None else refusal(one)
