"""What every request passes: the token, the bound on those that wait, the clock."""

import hmac
import logging
import time
from collections.abc import Awaitable, Callable

import orjson
from starlette.exceptions import HTTPException

from recbench.errors import InputError
from recbench.serving.exchange import (
    Headers,
    Message,
    Pending,
    Receive,
    Refused,
    Reply,
    Scope,
    Send,
    send_bytes,
)
from recbench.serving.metrics import Metrics
from recbench.serving.options import Limits

__all__ = ["FAULT", "Guard", "refusal"]

logger = logging.getLogger(__name__)

App = Callable[[Scope, Receive, Send], Awaitable[None]]
OPEN = frozenset({"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})
ROUTES = {"/recommend": "recommend", "/score": "score"}
RETRY_AFTER = (b"retry-after", b"1")
FAULT = Reply(500, orjson.dumps({"error": "The request failed; the service's log says why"}))


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
            if path not in OPEN:
                self.admit(scope["headers"], route=route)
            scope["app"] = self  # then starlette raises where it knows no path or method
            await self._app(scope, receive, noting)
        except HTTPException as error:
            lines = [(k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items()]
            await _send(noting, refusal(Refused(error.status_code, error.detail, lines)))
        except (Refused, InputError) as error:
            await _send(noting, refusal(error))
        except Exception:
            logger.exception("%s %s failed", scope["method"], path)
            if status:
                raise  # half an answer has gone out: the connection ends
            await _send(noting, FAULT)
        finally:
            self._pending.n_answered += 1
        self._metrics.answered(route, status, time.perf_counter() - began)

    def admit(self, headers: Headers, *, route: str) -> None:
        """Let a request in that needs the token.

        Raises:
            Refused: it does not show the token, or too many wait.
        """
        if self._token is not None:
            shown = [value for name, value in headers if name == b"authorization"]
            if len(shown) != 1 or not hmac.compare_digest(shown[0], self._token):
                challenge = (b"www-authenticate", b"Bearer")
                raise Refused(401, "Send the header `Authorization: Bearer TOKEN`", [challenge])
        if route != "other" and self._pending.n_waiting > self._limits.in_flight:
            self._metrics.count("recbench_shed_total")
            raise Refused(503, "Too many requests are waiting; try again", [RETRY_AFTER])


def refusal(error: Refused | InputError) -> Reply:
    """What is answered where this was raised."""
    refused = error if isinstance(error, Refused) else Refused(400, str(error))
    body = orjson.dumps({"error": refused.message})
    return Reply(refused.status, body, refused.headers)


async def _send(send: Send, reply: Reply) -> None:
    await send_bytes(send, reply.body, status=reply.status, headers=[*reply.headers])
