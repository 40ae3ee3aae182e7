"""Declarations of features: what is refused, and the way to JSON and back."""

import json
from datetime import timedelta

import pytest

from recbench.errors import InputError
from recbench.features.definitions import (
    DecayedPopularity,
    LastValues,
    SinceLast,
    WindowFeature,
    from_json,
    to_json,
)
from recbench.features.shipped import SHIPPED_FEATURES


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
    declared = (*SHIPPED_FEATURES, odd)
    assert from_json(json.loads(json.dumps(to_json(declared)))) == declared


def test_windows_are_seconds_in_json():
    assert to_json([feature(window=timedelta(minutes=5))])[0]["window"] == 300.0


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"entity": "session_id"}, "`entity`.*'session_id'"),
        ({"aggregation": "median"}, "`aggregation`.*'median'"),
        ({"of": "views"}, "`of`.*'views'"),
        ({"aggregation": "count"}, "'count' of 'watch_ms'"),
        ({"value": None}, "'sum' of None"),
        ({"window": timedelta(0)}, "watched: `window` must be positive, got 0:00:00"),
    ],
)
def test_what_no_engine_could_compute_is_refused(changes, complaint):
    with pytest.raises(InputError, match=complaint):
        feature(**changes)


@pytest.mark.parametrize("odd", [{"entity": "session_id"}, {"of": "views"}])
def test_other_kinds_refuse_the_same(odd):
    complaint = next(iter(odd.values()))
    with pytest.raises(InputError, match=complaint):
        LastValues(**({"name": "x", "entity": "user_id", "value": "item_id", "k": 3} | odd))
    with pytest.raises(InputError, match=complaint):
        SinceLast(**({"name": "x", "entity": "user_id"} | odd))


def test_popularity_refuses_an_unknown_entity():
    with pytest.raises(InputError, match="`entity`.*'session_id'"):
        DecayedPopularity(name="hot", half_life=timedelta(days=1), entity="session_id")


def test_a_list_of_no_values_is_refused():
    with pytest.raises(InputError, match="items: `k` must be at least 1, got 0"):
        LastValues(name="items", entity="user_id", value="item_id", k=0)


def test_a_half_life_must_be_positive():
    with pytest.raises(InputError, match="hot: `half_life` must be positive, got -1 day"):
        DecayedPopularity(name="hot", half_life=timedelta(days=-1))


@pytest.mark.parametrize(
    "broken",
    [
        {"kind": "window", "name": "watched"},
        {"kind": "median", "name": "watched"},
        {"name": "watched"},
        to_json([feature()])[0] | {"colour": "red"},
    ],
)
def test_a_declaration_with_a_missing_or_unknown_key_is_refused(broken):
    with pytest.raises(InputError, match=r"Not the declaration of a feature: .*'watched'"):
        from_json([broken])


def test_two_declarations_of_one_name_are_refused():
    with pytest.raises(InputError, match=r"declared twice: \['watched'\]"):
        from_json(to_json([feature(), feature(window=timedelta(hours=1))]))
