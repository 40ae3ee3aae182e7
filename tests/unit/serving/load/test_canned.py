"""The server that costs next to nothing."""

import json

from recbench.serving.load import Target, closed_loop
from recbench.serving.load.canned import canned_server


def test_every_request_gets_the_same_reply():
    reply = {"release": "R", "items": [{"item_id": 3, "score": 1.0}], "fallback": None}
    with canned_server(json.dumps(reply).encode()) as port:
        bodies = [b"{}", b'{"user_id": 1}']
        answers = closed_loop(Target(port=port), bodies, clients=3, most=50)
    assert answers.errors() == {}
    assert answers.frame["items"].to_list() == [[3]] * 50
    ended = closed_loop(Target(port=port), bodies, clients=1, most=1)
    assert ended.errors() == {"refused": 1}
