"""Tensors as requests, lists as tensors; what does not fit is refused."""

import json

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.serving.answer import Answer
from recbench.serving.inference_protocol import infer_response, parse_infer
from recbench.serving.options import Limits
from recbench.serving.requests import LATEST

LIMITS = Limits(k=10, history=4)


def parse(asked, *, tail=b"", headers=()):
    return parse_infer(json.dumps(asked).encode() + tail, headers, LIMITS)


def ints(name, values, shape=None, **more):
    shape = shape or list(np.shape(values))
    return {"name": name, "datatype": "INT64", "shape": shape, "data": values} | more


def test_rows_become_requests():
    asked = parse(
        {
            "inputs": [
                ints("user_id", [1, 2]),
                ints("history", [[5, 6], [7, 8]]),
                ints("history_ts", [0, 3, 9, 4], [2, 2]),
            ],
            "parameters": {"k": 3},
        }
    )
    first, second = asked.rows
    assert (first.user_id, first.k) == (1, 3)
    assert first.history.item_ids.tolist() == [6, 5]
    assert first.history.ts.tolist() == [3, LATEST]
    assert second.history.item_ids.tolist() == [8, 7]
    assert asked.outputs == ["item_id", "score"]
    assert asked.binary == {"item_id": False, "score": False}


def test_bytes_after_the_json_are_values():
    values = np.array([7, -1], dtype="<i8").tobytes()
    one = ints("user_id", None, [2], parameters={"binary_data_size": 16})
    body = {"inputs": [one]}
    length = (b"inference-header-content-length", b"%d" % len(json.dumps(body)))
    asked = parse(body, tail=values, headers=[length])
    assert [row.user_id for row in asked.rows] == [7, -1]


def test_lists_become_tensors_and_shorter_ones_end_in_minus_one():
    asked = parse({"inputs": [ints("user_id", [1, 2])], "id": "x"})
    answers = [
        Answer([3, 4], np.array([2.0, 1.0], dtype=np.float32), {}),
        Answer([5], np.array([0.5], dtype=np.float32), {}, "popularity", "why"),
    ]
    body, json_length = infer_response(asked, answers, release="r")
    assert json_length is None
    assert json.loads(body) == {
        "model_name": "recommend",
        "model_version": "r",
        "id": "x",
        "parameters": {"release": "r", "fallback": "why"},
        "outputs": [
            {"name": "item_id", "datatype": "INT64", "shape": [2, 2], "data": [3, 4, 5, -1]},
            {"name": "score", "datatype": "FP32", "shape": [2, 2], "data": [2.0, 1.0, 0.5, 0.0]},
        ],
    }


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "must be an object with a list of `inputs`"),
        ({"inputs": 3}, "must be an object with a list of `inputs`"),
        ({"inputs": [3]}, r"`inputs\[0\]` must be an object, got 3"),
        ({"inputs": []}, r"must have 1 to 32 rows, each the same number, got {}"),
        ({"inputs": [ints("user", [1])]}, "must be one of .*got 'user' of 'INT64'"),
        ({"inputs": [ints("user_id", [1]) | {"datatype": "FP32"}]}, "got 'user_id' of 'FP32'"),
        ({"inputs": [ints("user_id", [1], [1, 1])]}, r"must be like \[-1\], got \[1, 1\]"),
        ({"inputs": [ints("user_id", [1], [True])]}, r"must be like \[-1\], got \[True\]"),
        ({"inputs": [ints("user_id", [1], [2])]}, r"of \[2\] needs 2 values, got 1"),
        ({"inputs": [ints("user_id", [2**63])]}, "must fit into INT64"),
        ({"inputs": [ints("user_id", ["1"])]}, "must be a list of integers"),
        ({"inputs": [ints("user_id", [1, 2]), ints("history", [[1]])]}, "the same number"),
        ({"inputs": [ints("history_ts", [[1]])]}, "must have the shape of `history`"),
        ({"inputs": [ints("history", [[1] * 5])]}, "may have 4 items, got 5"),
        ({"inputs": [ints("history", [], [10**9, 0])]}, r"must be like \[-1, -1\]"),
        ({"inputs": [ints("user_id", [1])], "parameters": {"k": 11}}, "from 1 to 10, got 11"),
        ({"inputs": [ints("user_id", [1])], "parameters": {"k": True}}, "got True"),
        ({"inputs": [ints("user_id", [1])], "parameters": 3}, "`parameters` must be an object"),
        ({"inputs": [ints("user_id", [1])], "outputs": [{"name": "x"}]}, r"outputs\[0\] must be"),
        ({"inputs": [ints("user_id", [1])], "outputs": {}}, "`outputs` must be a list"),
        ({"inputs": [ints("user_id", [1])], "id": 3}, "`id` must be a string, got 3"),
        (
            {"inputs": [ints("user_id", [1], parameters={"binary_data_size": 8})]},
            "multiple of 8 within the 0 bytes that are left, got 8",
        ),
    ],
)
def test_what_does_not_fit_is_refused(asked, message):
    with pytest.raises(InputError, match=message):
        parse(asked)


def test_bytes_that_belong_to_nothing_are_refused():
    body = {"inputs": [ints("user_id", [1])]}
    length = (b"inference-header-content-length", b"%d" % len(json.dumps(body)))
    with pytest.raises(InputError, match="3 bytes after the inputs belong to none of them"):
        parse(body, tail=b"abc", headers=[length])
    for wrong in (b"999999", b"-1", b"x"):
        with pytest.raises(InputError, match="Inference-Header-Content-Length must be at most"):
            parse(body, headers=[(b"inference-header-content-length", wrong)])
    with pytest.raises(InputError, match="not JSON"):
        parse(body, headers=[(b"inference-header-content-length", b"5")])
