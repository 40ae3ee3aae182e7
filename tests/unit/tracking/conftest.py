"""A server that answers what W&B's own client asks when it sends a run, and remembers it."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

ARTIFACT = {"id": "A1", "state": "COMMITTED", "artifactSequence": {"latestArtifact": {"id": "A1"}}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        answer = {}
        if self.path == "/graphql":
            body = json.loads(content)
            self.server.asked.append((body["operationName"], body.get("variables") or {}))
            answer = {"data": self._answer(body["operationName"], body.get("variables"))}
        elif self.path.endswith("/file_stream"):
            self.server.streamed.append(json.loads(content))
        self._reply(json.dumps(answer).encode())

    def do_PUT(self):
        self.server.uploaded.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._reply(b"")

    def _answer(self, operation, variables):
        place = f"http://127.0.0.1:{self.server.server_address[1]}/storage"
        project = {"id": "P", "name": "recbench", "entity": {"id": "E", "name": "me"}}
        if operation == "UpsertBucket":
            bucket = {"id": "B1", "name": variables["name"], "displayName": "", "project": project}
            held = bucket | {"historyLineCount": 0, "sweepName": None}
            return {"upsertBucket": {"bucket": held, "inserted": True}}
        if operation == "CreateRunFiles":
            files = [{"name": n, "uploadUrl": f"{place}/{n}"} for n in variables["files"]]
            return {"createRunFiles": {"runID": "B1", "uploadHeaders": [], "files": files}}
        answers = {
            "CreateArtifact": {"createArtifact": {"artifact": ARTIFACT}},
            "UseArtifact": {"useArtifact": {"artifact": {"id": "A1"}}},
        }
        return answers.get(operation, {})

    def _reply(self, content):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def wandb_server():
    """Has ``asked`` (operation, variables), ``streamed``, ``uploaded``; there is a key for it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.asked, server.streamed, server.uploaded = [], [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}")
        patch.setenv("WANDB_API_KEY", "0" * 40)
        yield server
    server.shutdown()
    server.server_close()
    thread.join()
