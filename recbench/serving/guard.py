"""What every request passes: the token, the bound on those that wait, the clock."""

import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.exceptions import HTTPException

from recbench.errors import InputError
from recbench.serving.exchange import (
    JSON,
    Message,
    Pending,
    Receive,
    Refused,
    Scope,
    Send,
    send_bytes,
)
from recbench.serving.metrics import Metrics
from recbench.serving.options import Limits

__all__ = ["Guard"]

logger = logging.getLogger(__name__)

App = Callable[[Scope, Receive, Send], Awaitable[None]]
OPEN = frozenset({"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})
ROUTES = {"/recommend": "recommend", "/score": "score"}
RETRY_AFTER = (b"retry-after", b"1")


class Guard:
    """An ASGI application around another one.

    Args:
        app: the other one; what it raises of `Refused` and `InputError` becomes an answer.
        token: what clients must show; None: nothing.
        limits: of requests.
        metrics: told of every answer.
        pending: counts the requests, together with whoever begins them.
    """

    def __init__(
        self,
        app: App,
        *,
        token: str | None,
        limits: Limits,
        metrics: Metrics,
        pending: Pending,
    ) -> None:
        self._app, self._limits, self._metrics, self._pending = app, limits, metrics, pending
        self._token = None if token is None else b"Bearer " + token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one of the server's own messages."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        path = scope["path"]
        route = ROUTES.get(path) or ("infer" if path.endswith("/infer") else "other")

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._admit(scope, route)
            scope["app"] = self  # then starlette raises where it knows no path or method
            await self._app(scope, receive, noting)
        except Refused as refusal:
            await _refuse(noting, refusal.status, refusal.message, refusal.headers)
        except HTTPException as error:
            lines = [(k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items()]
            await _refuse(noting, error.status_code, error.detail, lines)
        except InputError as error:
            await _refuse(noting, 400, str(error), [])
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if status:
                raise  # half an answer has gone out: the connection ends
            await _refuse(noting, 500, "The request failed; the service's log says why", [])
        finally:
            self._pending.n_answered += 1
        self._metrics.answered(route, status, time.perf_counter() - began)

    def _admit(self, scope: Scope, route: str) -> None:
        if self._token is not None and scope["path"] not in OPEN:
            shown = [value for name, value in scope["headers"] if name == b"authorization"]
            if len(shown) != 1 or not hmac.compare_digest(shown[0], self._token):
                challenge = (b"www-authenticate", b"Bearer")
                raise Refused(401, "Send the header `Authorization: Bearer TOKEN`", [challenge])
        if route != "other" and self._pending.n_waiting > self._limits.in_flight:
            self._metrics.count("recbench_shed_total")
            raise Refused(503, "Too many requests are waiting; try again", [RETRY_AFTER])


async def _refuse(send: Send, status: int, message: str, headers: list[Any]) -> None:
    body = orjson.dumps({"error": message})
    await send_bytes(send, body, status=status, kind=JSON, headers=headers)
