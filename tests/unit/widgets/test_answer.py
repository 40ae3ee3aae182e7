"""A request to a service, and what comes of it."""

import json
import shlex
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.widgets.answer import answer_table, answer_to, curl_line

LIST = {"release": "r1", "fallback": None, "items": [{"item_id": 7, "score": 0.5}]}


@pytest.fixture
def answering(monkeypatch):
    """Starts a server that gives one answer; returns its address and what it was asked."""
    monkeypatch.setattr("recbench.widgets.answer.LIMIT_S", 120)
    servers = []

    def start(status, body):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                asked.append((self.path, self.rfile.read(length).decode()))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                """Not on the terminal."""

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"127.0.0.1:{servers[-1].server_port}", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_list_comes_back_and_curl_would_ask_the_same(answering):
    address, asked = answering(200, json.dumps(LIST))
    assert answer_to(address, user_id=3, k=5) == LIST
    assert asked == [("/recommend", '{"user_id": 3, "k": 5}')]
    words = shlex.split(curl_line(address, user_id=3, k=5))
    assert words == ["curl", "-s", f"{address}/recommend", "-d", asked[0][1]]


def test_a_list_is_shown_with_titles_where_there_are_some():
    titles = pl.DataFrame({"item_id": [7, 8], "title": ["Seven", "Eight"]})
    assert answer_table(LIST, titles).rows() == [(1, 7, "Seven", 0.5)]
    assert answer_table(LIST, titles.drop("title")).rows() == [(1, 7, 0.5)]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (503, "no release yet", "answers 503: no release yet"),
        (200, "{}", "no service of recommendations"),
        (200, "<html>", "No service answers at"),
    ],
)
def test_what_is_no_list_is_told(answering, status, body, message):
    address, _ = answering(status, body)
    with pytest.raises(InputError, match=message):
        answer_to(address, user_id=1, k=1)


def test_where_nothing_answers_the_command_is_told():
    # nothing listens on the port of discard
    with pytest.raises(InputError, match=r"`recbench serve --port 9`, and ask again"):
        answer_to("127.0.0.1:9", user_id=1, k=1)
