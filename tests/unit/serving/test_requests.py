"""Bodies become checked values, or messages that say what is wrong."""

import json
import re

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.serving.options import Limits
from recbench.serving.requests import LATEST, parse_recommend, parse_score

LIMITS = Limits(k=50, history=3)


def recommend(**asked):
    return parse_recommend(json.dumps(asked).encode(), LIMITS)


def test_an_empty_request_asks_for_twenty():
    asked = recommend()
    assert (asked.user_id, asked.history, asked.k, asked.repeats) == (None, None, 20, None)


def test_everything_that_may_be_asked():
    asked = recommend(
        user_id=7,
        history=[{"item_id": 1}],
        k=3,
        filters={"exclude_items": [4, 5], "categories": ["a"], "repeats": "allow"},
        context={"ts": "1970-01-01T00:00:01Z", "page": "home"},
    )
    assert (asked.user_id, asked.k, asked.repeats, asked.categories) == (7, 3, "allow", ("a",))
    assert asked.exclude_items.tolist() == [4, 5]
    assert asked.at_us == 1_000_000


def test_a_history_is_put_in_order_of_time_and_what_has_no_time_is_last():
    history = recommend(
        history=[
            {"item_id": 1, "ts": None},
            {"item_id": 2, "ts": "1970-01-01T01:00:00+01:00", "watch_ratio": 9.5},
            {"item_id": 3, "ts": "1969-12-31T23:59:59.999999", "watch_ratio": 0.5},
        ]
    ).history
    assert history.item_ids.tolist() == [3, 2, 1]
    assert history.ts.tolist() == [-1, 0, LATEST]  # no zone is UTC
    assert history.watch_ratio.tolist() == [0.5, 2.0, -1.0]  # an item may be watched twice
    assert history.watch_ratio.dtype == np.float32


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON: Input data was truncated"),
        (b"{", "not JSON: Input data was truncated"),
        (b"[" * 100_000, "cannot be used: Expected `object`, got `array`"),
        (b'{"context":' + b'{"a":' * 100_000, "nested too deeply"),
        (b'{"user_id": 1e3}', "Expected `int | null`, got `float` - at `$.user_id`"),
        (b'{"user_id": 9223372036854775808}', "<= 9223372036854775807 - at `$.user_id`"),
        (b'{"user": 1}', "unknown field `user`"),
        (b'{"k": 0}', ">= 1 - at `$.k`"),
        (b'{"k": 51}', "`k` may be at most 50 here, got 51"),
        (b'{"history": [{"item_id": "a"}]}', "got `str` - at `$.history[0].item_id`"),
        (b'{"history": [{"item_id": 1, "ts": "noon"}]}', "Invalid RFC3339 encoded datetime"),
        (b'{"history": [{"item_id": 1, "watch_ratio": -1}]}', "`float` >= 0"),
        (b'{"history": [{"item_id":1},{"item_id":1},{"item_id":1},{"item_id":1}]}', "3 events"),
        (b'{"filters": {"repeats": "maybe"}}', "Invalid enum value 'maybe'"),
        (b'{"filters": {"exclude_items": [1, 2, 3, 4]}}', "`exclude_items` may have 3 ids"),
        (b'{"context": {"ts": 5}}', "got `int` - at `$.context.ts`"),
        (b'{"filters": {"categories": ["\xff"]}}', "UTF-8"),
    ],
)
def test_a_list_that_cannot_be_asked_for_says_why(body, message):
    with pytest.raises(InputError, match=re.escape(message)):
        parse_recommend(body, LIMITS)


def test_scores_need_items():
    with pytest.raises(InputError, match="missing required field `item_ids`"):
        parse_score(b"{}", LIMITS)
    asked = parse_score(b'{"item_ids": [], "user_id": 3}', LIMITS)
    assert asked.item_ids.tolist() == []
    assert asked.user_id == 3
    with pytest.raises(InputError, match="`item_ids` may have 3 ids here, got 4"):
        parse_score(b'{"item_ids": [1, 2, 3, 4]}', LIMITS)
