"""The service as clients see it: a real process, real connections, the toy release."""

import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recbench.refresh import Registry
from recbench.serving import ReleasedRecommender
from recbench.serving.load import Target

TOKEN = "s3cret"
MODEL = "/v2/models/recommend"
LIMITS = ["--max-k", "50", "--max-body", "20000", "--timeout", "60s"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def registry(workspace, served_toy):
    registry = Registry(workspace / "registry")
    registry.publish(served_toy.seal(registry).release.manifest.release)
    return registry


@pytest.fixture(scope="module")
def service(workspace, registry, served_toy):
    """Two workers."""
    running = served_toy.RunningService(workspace, "--workers", "2", *LIMITS)
    yield running.until_ready()
    assert running.stop() == 0, running.said


def refused(reply, status, words):
    assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
    assert words in reply.json["error"]


def test_a_list_says_which_release_and_that_it_was_made_by_rule(service, registry):
    reply = service.recommend(user_id=1, k=2)
    assert reply.pop("request_id").isdigit()
    # history 10, 20: (0, 5, 1, 2) + (0, 0, 3, 1) = (0, 5, 4, 3), 10 and 20 seen
    assert reply == {
        "release": registry.current(),
        "items": [
            {"item_id": 30, "score": 4.0, "position": 0, "propensity": None},
            {"item_id": 40, "score": 3.0, "position": 1, "propensity": None},
        ],
        "fallback": None,
        "reason": None,
    }


def test_lists_are_those_of_the_release_offline(service, registry):
    offline = ReleasedRecommender.load(registry.open())
    for user in (1, 2, 99, -(2**63), 2**63 - 1):
        expected = offline.recommend(np.array([user]), k=20)
        items = service.recommend(user_id=user)["items"]
        assert [item["item_id"] for item in items] == expected["item_id"].to_list()


def test_requests_have_ids_of_their_own(service):
    assert len({service.recommend()["request_id"] for _ in range(20)}) == 20


def test_unknown_items_and_categories_are_passed_over(service):
    history = [{"item_id": 999}, {"item_id": 40, "ts": None, "watch_ratio": 0.5}]
    asked = {"history": history, "filters": {"exclude_items": [998, 20]}}
    assert [item["item_id"] for item in service.recommend(**asked)["items"]] == [10, 30]
    assert service.recommend(filters={"categories": ["no such"]})["items"] == []


def test_scores_come_in_the_order_of_the_items(service, registry):
    reply = service.post("/score", {"user_id": 1, "item_ids": [40, 77, 10, 40]}).json
    assert reply["release"] == registry.current()
    assert reply["scores"] == [3.0, None, 0.0, 3.0]


def test_what_cannot_be_understood_is_refused_with_the_reason(service):
    refused(service.post("/recommend", b"{"), 400, "not JSON")
    refused(service.post("/recommend", {"user_id": "a"}), 400, "at `$.user_id`")
    refused(service.post("/recommend", {"k": 51}), 400, "at most 50 here, got 51")
    refused(service.post("/score", {}), 400, "missing required field `item_ids`")
    refused(service.get("/recommend"), 405, "Method Not Allowed")
    refused(service.get("/no/such/path"), 404, "Not Found")
    gzip = {"Content-Encoding": "gzip"}
    refused(service.post("/recommend", b"x", headers=gzip), 415, "Compressed")


def test_too_large_a_body_is_refused_before_it_is_read(service):
    refused(service.post("/recommend", b" " * 20_001), 413, "at most 20000 bytes")
    chunks = (b" " * 5_000 for _ in range(5))
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
    connection.request("POST", "/recommend", chunks, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_million_clicks_are_refused_as_any_other_large_body(service):
    history = b'{"history":[' + b",".join([b'{"item_id":10}'] * 1_000_000) + b"]}"
    with socket.create_connection(("127.0.0.1", service.port), timeout=120) as client:
        head = f"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: {len(history)}\r\n\r\n"
        client.sendall(head.encode())
        answer = b""
        while part := client.recv(65_536):  # until it closes: nobody reads the rest
            answer += part
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert service.recommend(user_id=1)["items"]


def request(path, payload):
    body = json.dumps(payload).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def replies(client, number):
    """Statuses and bodies of so many answers that come one after the other."""
    answers = []
    with client.makefile("rb") as stream:
        for _ in range(number):
            status = int(stream.readline().split()[1])
            headers = http.client.parse_headers(stream)
            answers.append((status, json.loads(stream.read(int(headers["content-length"])))))
    return answers


def test_a_request_is_answered_alike_however_its_bytes_come(service):
    expected = service.recommend(user_id=1, k=2)["items"]
    whole = request("/recommend", {"user_id": 1, "k": 2})
    for cuts in ([], [40], [len(whole) - 5], [30, len(whole) - 1]):
        with socket.create_connection(("127.0.0.1", service.port), timeout=120) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
                client.sendall(whole[start:stop])
                time.sleep(0.02)
            ((status, reply),) = replies(client, 1)
        assert (status, reply["items"]) == (200, expected)


def test_requests_behind_each_other_on_a_connection_are_answered_in_order(service):
    asked = [
        request("/recommend", {"user_id": 1, "k": 1}),
        request("/recommend", {"k": "many"}),
        request("/score", {"user_id": 1, "item_ids": [40]}),
        request("/recommend", {"user_id": 1, "k": 2}),
        request("/recommend", {"user_id": 1, "k": 3, "filters": {"repeats": "allow"}}),
    ]
    with socket.create_connection(("127.0.0.1", service.port), timeout=120) as client:
        client.sendall(b"".join(asked))
        said = replies(client, len(asked))
    assert [status for status, _ in said] == [200, 400, 200, 200, 200]
    assert [len(reply.get("items", ())) for _, reply in said] == [1, 0, 0, 2, 3]


def test_a_crowd_gets_each_its_own_list(service):
    sizes = [1 + number % 4 for number in range(60)]
    with ThreadPoolExecutor(20) as clients:
        lists = list(clients.map(lambda k: service.recommend(user_id=99, k=k)["items"], sizes))
    assert [len(items) for items in lists] == sizes


@pytest.fixture
def impatient(workspace, registry, served_toy):
    """One that waits no second for what a client sends."""
    running = served_toy.RunningService(workspace, "--timeout", "700ms")
    yield running.until_ready()
    assert running.stop() == 0, running.said


def test_a_client_that_sends_slowly_is_given_up_and_nobody_waits_for_it(impatient):
    half = b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    slow = [socket.create_connection(("127.0.0.1", impatient.port), timeout=120) for _ in range(4)]
    for number, client in enumerate(slow):
        client.sendall(half if number % 2 else half[:20])  # within the body, within the headers
    whole = Target(port=impatient.port).request(b'{"user_id": 1}')  # its body is not waited for
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", impatient.port), timeout=30) as client:
            client.sendall(whole)
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
    said = [client.recv(65_536) for client in slow]
    assert [answer[:13] for answer in said] == [b"", b"HTTP/1.1 408 "] * 2
    for client in slow:
        client.close()


def test_what_is_no_http_is_refused(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=120) as client:
        client.sendall(b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


def test_requests_may_follow_each_other_on_one_connection(service):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
    for _ in range(3):
        reply = service.post("/recommend", {"user_id": 1}, connection=connection)
        assert reply.status == 200
    refused(service.post("/recommend", b"{", connection=connection), 400, "not JSON")
    assert service.post("/recommend", {}, connection=connection).status == 200
    connection.close()


def test_connections_are_shared_out_evenly(service):
    held = [http.client.HTTPConnection("127.0.0.1", service.port, timeout=120) for _ in range(6)]
    asked = b'{"inputs":[{"name":"user_id","datatype":"INT64","shape":[1],"data":[1]}]}'
    for connection in held:
        assert (
            service.post("/v2/models/recommend/infer", asked, connection=connection).status == 200
        )
    counts = sorted(
        service.get("/v2/models/recommend/stats", connection=one).json["model_stats"][0][
            "inference_count"
        ]
        for one in held
    )
    assert counts[0] == counts[2]  # three connections see one worker's count,
    assert counts[3] == counts[5]  # three the other's
    for connection in held:
        connection.close()


def test_it_says_how_it_is(service, registry):
    assert service.get("/health/live").json == {"status": "live"}
    ready = service.get("/health/ready").json
    assert (ready["status"], ready["release"]) == ("ready", registry.current())
    about = service.get("/release").json
    assert (about["release"], about["n_items"], about["n_users"]) == (registry.current(), 4, 2)


def test_its_metrics_count_what_it_answered(service):
    name = 'recbench_requests_total{route="recommend",status="200"}'
    before = service.metric(name)
    for _ in range(5):
        service.recommend()
    service.until(lambda: service.metric(name) == before + 5)  # counted once it is answered
    text = service.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert text.body.count(b"recbench_release_info{") == 2


def test_its_openapi_document_names_every_route(service):
    document = service.get("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    assert document["components"]["schemas"]["Recommend"]["properties"]["k"]["maximum"] == 50
    for path, operations in document["paths"].items():
        for method in operations:
            reply = service.ask(method.upper(), path, {} if method == "post" else None)
            assert str(reply.status) in operations[method]["responses"], path


def test_it_speaks_the_open_inference_protocol(service, registry):
    assert service.get("/v2").json["name"] == "recbench"
    assert service.get(MODEL).json["versions"] == [registry.current()]
    assert service.get(f"{MODEL}/versions/{registry.current()}").status == 200
    assert service.get(f"{MODEL}/ready").status == 200
    for path in ("", "/ready"):
        other = service.get(f"{MODEL}/versions/another{path}")
        refused(other, 404, f"Version another is not served here, but {registry.current()}")
    assert service.get(f"{MODEL}/config").json["max_batch_size"] == 0
    users = {"name": "user_id", "datatype": "INT64", "shape": [2], "data": [1, 99]}
    asked = {"id": "a", "inputs": [users], "parameters": {"k": 3}}
    reply = service.post(f"{MODEL}/infer", asked).json
    assert (reply["id"], reply["model_version"]) == ("a", registry.current())
    assert reply["outputs"][0] == {
        "name": "item_id",
        "datatype": "INT64",
        "shape": [2, 3],
        "data": [30, 40, -1, 30, 40, 10],
    }
    refused(service.post(f"{MODEL}/infer", {"inputs": []}), 400, "1 to 32 rows")


def test_a_token_is_asked_for_everywhere_but_at_the_probes(served_toy, workspace, registry):
    file = workspace / "token"
    file.write_text(f"{TOKEN}\n")
    running = served_toy.RunningService(workspace, "--token-file", str(file))
    shown = {"Authorization": f"Bearer {TOKEN}"}
    try:
        running.until(lambda: running.get("/health/ready").status == 200)
        assert running.get("/v2/health/ready").status == 200
        for method, path in (("POST", "/recommend"), ("GET", "/metrics"), ("GET", "/v2")):
            body = {} if method == "POST" else None
            reply = running.ask(method, path, body)
            refused(reply, 401, "Authorization: Bearer TOKEN")
            assert reply.headers["www-authenticate"] == "Bearer"
            for wrong in ("Bearer s3cre", "Bearer s3crets", "s3cret", "Basic s3cret", "\xff"):
                header = {"Authorization": wrong}
                assert running.ask(method, path, body, headers=header).status == 401
            assert running.ask(method, path, body, headers=shown).status == 200
        document = running.get("/openapi.json", headers=shown).json
        assert document["security"] == [{"token": []}]
    finally:
        assert running.stop() == 0


def test_json_numbers_of_scores_are_those_of_single_precision(service):
    scores = service.post("/score", {"item_ids": [20]}).json["scores"]
    assert json.dumps(scores) == "[0.25]"
