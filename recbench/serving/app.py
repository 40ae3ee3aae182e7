"""The routes: what is asked at which path."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from recbench import __version__
from recbench.serving.exchange import JSON, BodyReader, Headers, Receive, Scope, Send, send_bytes
from recbench.serving.inference_protocol import MODEL, model_config, model_metadata
from recbench.serving.metrics import Metrics
from recbench.serving.openapi import openapi
from recbench.serving.service import Service

__all__ = ["routes_of"]

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
JSON_TYPE = JSON.decode()


def routes_of(service: Service, metrics: Metrics, bodies: BodyReader, *, has_token: bool) -> Router:
    """The application of one worker; what it raises is for the guard around it."""
    about, health = _About(service, metrics, has_token=has_token), _Health(service)
    model = f"/v2/models/{MODEL}"
    versioned = model + "/versions/{version}"
    gets: dict[str, Callable[[Request], Awaitable[Response]]] = {
        "/health/live": health.live,
        "/health/ready": health.ready,
        "/metrics": about.metrics,
        "/openapi.json": about.openapi,
        "/release": about.release,
        "/v2": about.server,
        "/v2/health/live": health.live,
        "/v2/health/ready": health.ready,
    }
    for name in (model, versioned):
        gets |= {
            name: about.model,
            f"{name}/ready": health.ready,
            f"{name}/config": about.config,
            f"{name}/stats": about.stats,
        }
    return Router(
        routes=[
            Route("/recommend", _Recommend(service, bodies), methods=["POST"]),
            Route("/score", _Score(service, bodies), methods=["POST"]),
            Route(f"{model}/infer", _Infer(service, bodies), methods=["POST"]),
            Route(f"{versioned}/infer", _Infer(service, bodies), methods=["POST"]),
            *(Route(path, endpoint, methods=["GET"]) for path, endpoint in gets.items()),
        ],
        redirect_slashes=False,
    )


class _Recommend:
    def __init__(self, service: Service, bodies: BodyReader) -> None:
        self._service, self._read = service, bodies.read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._read(scope, receive)
        answer, note = await self._service.recommend(body)
        await send_bytes(send, answer)
        note()  # the client does not wait for it


class _Score:
    def __init__(self, service: Service, bodies: BodyReader) -> None:
        self._service, self._read = service, bodies.read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._read(scope, receive)
        await send_bytes(send, await self._service.score(body))


class _Infer:
    def __init__(self, service: Service, bodies: BodyReader) -> None:
        self._service, self._read = service, bodies.read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._read(scope, receive)
        headers: Headers = scope["headers"]
        answer, (kind, *others) = await self._service.infer(body, headers)
        await send_bytes(send, answer, kind=kind[1], headers=others)


class _Health:
    """Whether the process runs, and whether it has something to serve."""

    def __init__(self, service: Service) -> None:
        self._live = service.live

    async def live(self, _: Request) -> Response:
        return _json({"status": "live"})

    async def ready(self, _: Request) -> Response:
        status = self._live.status
        ready = status.release is not None
        payload = {"status": "ready" if ready else "not ready"} | status.to_json()
        return _json(payload, status=200 if ready else 503)


class _About:
    """What the service says of itself."""

    def __init__(self, service: Service, metrics: Metrics, *, has_token: bool) -> None:
        self._service, self._metrics = service, metrics
        self._openapi = orjson.dumps(openapi(service.limits, has_token=has_token))

    async def metrics(self, _: Request) -> Response:
        return Response(self._metrics.text(), media_type=TEXT.decode())

    async def openapi(self, _: Request) -> Response:
        return Response(self._openapi, media_type=JSON_TYPE)

    async def release(self, _: Request) -> Response:
        live = self._service.live
        payload = live.status.to_json()
        if live.now is not None:
            payload |= {
                "n_items": len(live.now.items),
                "n_users": len(live.now.histories.user_ids),
                "watermark_us": live.now.watermark_us,
                "window_features": list(live.now.window_names),
            }
        return _json(payload)

    async def server(self, _: Request) -> Response:
        return _json(
            {"name": "recbench", "version": __version__, "extensions": ["binary_tensor_data"]}
        )

    async def model(self, _: Request) -> Response:
        return _json(model_metadata(self._service.live.status.release))

    async def config(self, _: Request) -> Response:
        return _json(model_config(self._service.limits))

    async def stats(self, _: Request) -> Response:
        count, total_ns = self._metrics.inferences()
        done = {"count": count, "ns": total_ns}
        release = self._service.live.status.release or ""
        stats = {
            "name": MODEL,
            "version": release,
            "inference_count": count,
            "execution_count": count,
            "inference_stats": {"success": done},
        }
        return _json({"model_stats": [stats]})


def _json(payload: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(payload), status_code=status, media_type=JSON_TYPE)
