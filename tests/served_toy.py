"""A release so small that every score can be worked out by hand, and a service that serves it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import onnx
import polars as pl
from onnx import TensorProto, helper, numpy_helper

from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.refresh import Manifest, Registry, Release
from recbench.refresh.contents import write_contents
from recbench.tables.vocabulary import Vocabulary

START = datetime(2026, 1, 1, tzinfo=UTC)
ITEMS = Vocabulary([10, 20, 30, 40])
POPULARITY = [0.5, 0.25, 2.0, 1.0]
CREATED = "2026-01-02T00:00:00+00:00"
# row = item of the history, column = candidate: what one event adds to the candidate's score
PULL = [[0, 5, 1, 2], [0, 0, 3, 1], [1, 1, 0, 9], [4, 3, 2, 0]]


class Toy(NamedTuple):
    registry: Registry
    release: Release


def toy_tower(path):
    """(B, 4) how often each item is in the history, (B, 2) window features, (B, 1) is unknown."""
    nodes = [
        helper.make_node("Add", ["history_rows", "one"], ["shifted"]),  # padding becomes 0
        helper.make_node("OneHot", ["shifted", "depth", "off_on"], ["held"], axis=-1),
        helper.make_node("ReduceSum", ["held", "axis"], ["counts"], keepdims=0),
        helper.make_node("Slice", ["counts", "from", "to", "axis"], ["taste"]),
        helper.make_node("ReduceSum", ["taste", "axis"], ["length"], keepdims=1),
        helper.make_node("Equal", ["length", "zero"], ["is_unknown"]),
        helper.make_node("Cast", ["is_unknown"], ["unknown"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["taste", "window_features", "unknown"], ["out"], axis=1),
    ]
    constants = {
        "one": np.array(1, np.int64),
        "depth": np.array(len(ITEMS) + 1, np.int64),
        "off_on": np.array([0, 1], np.float32),
        "axis": np.array([1], np.int64),
        "from": np.array([1], np.int64),
        "to": np.array([len(ITEMS) + 1], np.int64),
        "zero": np.array(0, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "toy",
        [
            helper.make_tensor_value_info("history_rows", TensorProto.INT64, ["B", "L"]),
            helper.make_tensor_value_info("history_age_s", TensorProto.FLOAT, ["B", "L"]),
            helper.make_tensor_value_info("window_features", TensorProto.FLOAT, ["B", "W"]),
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["B", "D"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def seal(registry, *, protocol="masked", tombstones=(), popularity=POPULARITY, created=CREATED):
    """Seal the toy release in a registry.

    User 1 clicked 10 at the start and 20 a minute later, user 2 clicked 30 an hour later.
    """
    events = pl.DataFrame(
        {
            "user_id": [1, 1, 2],
            "item_id": [10, 20, 30],
            "ts": [START, START + timedelta(minutes=1), START + timedelta(hours=1)],
            "clicked": [True, True, True],
            "watch_ms": [1000, 2000, None],
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    )
    no_window = np.zeros((4, 2))
    columns = (np.array(PULL).T, no_window, np.array(popularity)[:, None])
    with registry.draft() as draft:
        toy_tower(draft / "query_tower.onnx")
        write_contents(
            draft,
            tombstones=np.array(tombstones, dtype=np.int64),
            items=ITEMS,
            item_features=pl.DataFrame({"item_id": [10], "title": ["Ten"]}),
            events=events,
            candidate_embeddings=np.concatenate(columns, axis=1).astype(np.float32),
            popularity={"prior": np.array(popularity)},
            window_features=DEFAULT_WINDOW_FEATURES,
            history_length=3,
            metrics={"ndcg@20": 0.1},
        )
        manifest = Manifest(
            release="",
            created=created,
            data="toy",
            protocol=protocol,
            watermark=str(events["ts"].max()),
            lake_version=0,
            parent=None,
            gate={"verdict": "not gated", "reasons": []},
            metrics={},
            settings={},
            parity={},
            code={},
        )
        return Toy(registry, registry.seal(draft, manifest))


class Reply(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class RunningService:
    """`recbench serve` in a process of its own, on a free port of loopback."""

    def __init__(self, workspace, *options, environment=None):
        command = [sys.executable, "-c", "from recbench.cli import main; main()", "serve"]
        self.log = workspace / "service.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", "0", *options],
                env=os.environ
                | {"RECBENCH_WORKSPACE": str(workspace), "PYTHONUNBUFFERED": "1"}
                | (environment or {}),
                stdout=log,
                stderr=log,
            )
        self.until(lambda: "http://" in self.said)
        self.port = int(self.said.partition("http://")[2].partition(",")[0].rpartition(":")[2])

    @property
    def said(self):
        """Its log so far."""
        return self.log.read_text()

    def until(self, holds, *, seconds=60):
        """Wait until something holds of it."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, f"it never came about: {self.said}"
            time.sleep(0.02)

    def until_ready(self):
        """Wait until every worker has a release."""
        n_workers = int(self.said.partition(", ")[2].partition(" ")[0])
        self.until(lambda: self.metric("recbench_ready") == n_workers)
        return self

    def ask(self, method, path, payload=None, *, headers=None, connection=None):
        """One exchange, over a new connection unless one is given."""
        ours = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = payload if payload is None or isinstance(payload, bytes) else json.dumps(payload)
        ours.request(method, path, body, headers or {})
        response = ours.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        reply = Reply(response.status, names, response.read())
        if connection is None:
            ours.close()
        return reply

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, payload, **more):
        return self.ask("POST", path, payload, **more)

    def recommend(self, **asked):
        """A list that must come."""
        reply = self.post("/recommend", asked)
        assert reply.status == 200, reply
        return reply.json

    def metric(self, name, **more):
        """One value of the metrics; 0 where it is not told."""
        lines = self.get("/metrics", **more).body.decode().splitlines()
        told = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return float(told.get(name, 0))

    def stop(self):
        """End it, and give its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)
