"""The plainest service of the same tower and index: what the way over HTTP costs on a machine.

Starlette on uvicorn with two workers. It takes a user, calls tower and index once, and answers. It
reads no online store, checks no filter, tells nobody what it shows and cannot change its release:
nobody could run it, and nothing that does more has a reason to be faster.
"""

from pathlib import Path
from typing import Any

import orjson

from recbench.benchmarks.running_service import RunningService
from recbench.benchmarks.service_load import Questions
from recbench.refresh import Registry
from recbench.serving.served_release import ServedRelease
from recbench.settings import workspace_path

__all__ = ["application", "bare_service"]

K = 20
COMMAND = """
import uvicorn
uvicorn.run(
    "recbench.benchmarks.bare_stack:application",
    factory=True,
    port=int(sys.argv[1]),
    workers=int(sys.argv[2]),
    log_level="error",
    access_log=False,
)
"""


def bare_service(workspace: Path, *, workers: int = 2) -> RunningService:
    """Start it on the workspace's current release; a context that stops it.

    Raises:
        JobError: it ends, or is not ready within two minutes.
    """
    return RunningService.launch(COMMAND, [str(workers)], workspace=workspace)


def application() -> Any:
    """The Starlette application of one worker."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    release = Registry(workspace_path() / "registry").open()
    served = ServedRelease.load(release)
    served.warm()
    item_ids = served.items.ids
    users = Questions(release).users.tolist()
    known = {user: served.known(served.histories.row(user)) for user in users}

    async def recommend(request: Request) -> Response:
        asked = orjson.loads(await request.body())
        query = served.query_embeddings([known[asked["user_id"]]])
        rows, scores = served.index.search(query, k=K)
        pairs = zip(item_ids[rows[0]].tolist(), scores[0].tolist(), strict=True)
        items = [{"item_id": item_id, "score": score} for item_id, score in pairs]
        body = orjson.dumps({"release": served.id, "items": items})
        return Response(body, media_type="application/json")

    async def ready(_: Request) -> Response:
        return Response()

    routes = [
        Route("/recommend", recommend, methods=["POST"]),
        Route("/health/ready", ready),
    ]
    return Starlette(routes=routes)
