"""Processes of Dask, and a stand-in for Kubernetes' API that grants the rights of one Role only.

What is created there exists; a cluster runs as soon as it is created. It starts nothing.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

RESOURCES = {
    "v1": {"pods": "Pod", "services": "Service"},
    "kubernetes.dask.org/v1": {
        "daskclusters": "DaskCluster",
        "daskworkergroups": "DaskWorkerGroup",
        "daskautoscalers": "DaskAutoscaler",
    },
}
VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}


@pytest.fixture
def start(tmp_path):
    """Starts a command of this environment with a log beside; it ends with the test."""
    processes = []

    def begin(*args, **variables):
        with (tmp_path / f"{args[1]}.log").open("w") as log:
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name(args[0])), *args[1:]],
                cwd=tmp_path,
                env=os.environ | variables | {"HOME": str(tmp_path)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class KubernetesApi:
    """Objects by resource and name, what was asked, and what the rules refused."""

    def __init__(self, rules, namespace):
        self.rules, self.namespace = rules, namespace
        self.objects = {}
        self.asked = set()
        self.refused = []

    def allows(self, group, resource, verb, *, namespace):
        self.asked.add((group, resource, verb))
        allowed = namespace == self.namespace and any(
            group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
            for rule in self.rules
        )
        if not allowed:
            self.refused.append((group, resource, verb))
        return allowed

    def of(self, resource):
        return self.objects.setdefault(resource, {})

    def keep(self, resource, body):
        body["metadata"].setdefault("namespace", self.namespace)
        self.of(resource)[body["metadata"]["name"]] = body
        if resource == "daskclusters":
            self._operate(body["metadata"]["name"], body)

    def _operate(self, name, cluster):
        """What the operator would make of a cluster, and Kubernetes of that."""
        cluster["status"] = {"phase": "Running"}
        labels = {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
        metadata = {"name": f"{name}-scheduler", "labels": labels}
        ready = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]
        scheduler = cluster["spec"]["scheduler"]
        pod = {"kind": "Pod", "metadata": metadata, "spec": scheduler["spec"]}
        self.keep("pods", pod | {"status": {"phase": "Running", "conditions": ready}})
        service = {"kind": "Service", "metadata": dict(metadata), "spec": scheduler["service"]}
        self.keep("services", service)
        group = {"cluster": name, "worker": cluster["spec"]["worker"]}
        self.keep("daskworkergroups", {"metadata": {"name": f"{name}-default"}, "spec": group})


def _handler(api):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def _answer(self):
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = self._found(url, body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer

        def _found(self, url, body):
            if "/namespaces/" not in url.path:
                return 200, _discovered(url.path.strip("/"))
            before, _, after = url.path.partition("/namespaces/")
            group = "" if before.startswith("/api/") else before.split("/")[2]
            namespace, resource, *more = after.split("/")
            name, *subresource = more or [None]
            verb = VERBS.get(self.command, "get" if name else "list")
            asked = "/".join([resource, *subresource])
            if not api.allows(group, asked, verb, namespace=namespace):
                return 403, {"kind": "Status", "message": f"{verb} {asked} is not allowed"}
            if verb == "create":
                api.keep(resource, body)
                return 201, body
            if verb == "list":
                query = parse_qs(url.query)
                return 200, {"items": [*_chosen(api.of(resource).values(), query)]}
            if name not in api.of(resource):
                return 404, {"kind": "Status", "message": f"{name} is not there", "code": 404}
            if verb == "patch":
                _merge(api.of(resource)[name], body)
            elif verb == "delete":
                return 200, api.of(resource).pop(name)
            return 200, api.of(resource)[name]

    return Handler


def _chosen(objects, query):
    labels, fields = (
        dict(part.split("=") for text in query.get(kind, []) for part in text.split(","))
        for kind in ("labelSelector", "fieldSelector")
    )
    for each in objects:
        has = {"metadata.name": each["metadata"]["name"]}
        has["status.phase"] = each.get("status", {}).get("phase")
        own = each["metadata"].get("labels", {})
        if all(own.get(k) == v for k, v in labels.items()) and all(
            has[k] == v for k, v in fields.items()
        ):
            yield each


def _discovered(path):
    """What there is, which everybody may ask."""
    version = path.partition("/")[2]
    if version in RESOURCES:
        return {
            "groupVersion": version,
            "resources": [
                {"name": name, "kind": kind, "singularName": kind.lower(), "namespaced": True}
                for name, kind in RESOURCES[version].items()
            ],
        }
    group = {"groupVersion": "kubernetes.dask.org/v1", "version": "v1"}
    return {
        "version": {"major": "1", "minor": "35", "gitVersion": "v1.35.0"},
        "api": {"versions": ["v1"]},
        "apis": {
            "groups": [
                {"name": "kubernetes.dask.org", "versions": [group], "preferredVersion": group}
            ]
        },
    }[path]


def _merge(whole, part):
    for name, value in part.items():
        if isinstance(value, dict) and isinstance(whole.get(name), dict):
            _merge(whole[name], value)
        else:
            whole[name] = value


@pytest.fixture
def serve_api(tmp_path, monkeypatch):
    """Starts the stand-in for the rules of a Role in one namespace; libraries find it."""
    servers = []

    def start(rules, namespace):
        api = KubernetesApi(rules, namespace)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        servers.append((server, thread))
        config = tmp_path / "kubeconfig"
        config.write_text(yaml.safe_dump(_kubeconfig(server.server_port)))
        monkeypatch.setenv("KUBECONFIG", str(config))
        return api

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def _kubeconfig(port):
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "driver", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "driver"}}],
    }
