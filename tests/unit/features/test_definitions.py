"""Declarations of features: what is refused, and the way to JSON and back."""

import json
from datetime import timedelta

import pytest

from recbench.errors import InputError
from recbench.features.definitions import (
    DecayedPopularity,
    WindowFeature,
    from_json,
    to_json,
)
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES


def feature(**changes):
    sound = {
        "name": "watched",
        "entity": "user_id",
        "aggregation": "sum",
        "value": "watch_ms",
        "window": timedelta(minutes=5),
    }
    return WindowFeature(**(sound | changes))


def test_declarations_survive_json():
    odd = feature(window=timedelta(days=3, microseconds=1))
    declared = (*DEFAULT_WINDOW_FEATURES, odd)
    assert from_json(json.loads(json.dumps(to_json(declared)))) == declared


def test_windows_are_seconds_in_json():
    assert to_json([feature(window=timedelta(minutes=5))])[0]["window"] == 300.0


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"entity": "session_id"}, "`entity`.*'session_id'"),
        ({"aggregation": "median"}, "`aggregation`.*'median'"),
        ({"aggregation": "count"}, "'count' of 'watch_ms'"),
        ({"value": None}, "'sum' of None"),
        ({"window": timedelta(0)}, "watched: `window` must be positive, got 0:00:00"),
    ],
)
def test_what_no_engine_could_compute_is_refused(changes, complaint):
    with pytest.raises(InputError, match=complaint):
        feature(**changes)


def test_a_half_life_must_be_positive():
    with pytest.raises(InputError, match="hot: `half_life` must be positive, got -1 day"):
        DecayedPopularity(name="hot", half_life=timedelta(days=-1))


@pytest.mark.parametrize("broken", [{"name": "x"}, {**to_json([feature()])[0], "colour": "red"}])
def test_a_declaration_with_a_missing_or_unknown_key_is_refused(broken):
    with pytest.raises(InputError, match=r"Not the declaration of a window feature.*'name'"):
        from_json([broken])
