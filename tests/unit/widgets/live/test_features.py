"""The inspector's dials move the feature, the user and the instant."""

import re

import pytest

from recbench.widgets.live import feature_inspector


@pytest.fixture
def inspector(tiny_events):
    return feature_inspector(tiny_events)


def heading(panel):
    return re.search(r"<p>(.*?)</p>", panel.below.value)[1]


def test_it_opens_on_the_busiest_user_at_the_last_event(inspector, tiny_events):
    counts = tiny_events["user_id"].value_counts(sort=True)
    busiest = counts.filter(counts["count"] == counts["count"].max())["user_id"].min()
    own = tiny_events.filter(tiny_events["user_id"] == busiest)
    last = own["ts"].max()
    assert heading(inspector) == (
        f"user_id {busiest} at {last:%Y-%m-%d %H:%M:%S} UTC, {len(own)} events in all"
    )
    assert "user_clicks_24h" in inspector.below.value
    assert 'alt="user_watch_ms_5m is ' in inspector.below.value


def test_later_the_window_holds_the_last_event_too(inspector):
    inspector.dials["feature"].value = "user_clicks_1h"
    before = re.search(r"user_clicks_1h sees (\d+) events", inspector.below.value)[1]
    inspector.dials["minutes"].value = 1.0
    after = re.search(r"user_clicks_1h sees (\d+) events", inspector.below.value)[1]
    assert int(after) == int(before) + 1
    assert f'alt="user_clicks_1h is {after}: {after} of' in inspector.below.value


def test_at_its_first_event_nothing_is_known(inspector):
    inspector.dials["feature"].value = "user_last_50_items"
    inspector.dials["along"].value = 0
    assert "user_last_50_items sees 0 events" in inspector.below.value
    assert "<img" not in inspector.below.value


def test_a_feature_of_items_looks_at_the_item(inspector):
    inspector.dials["feature"].value = "item_popularity_1d"
    assert heading(inspector).startswith("item_id ")
    inspector.dials["item"].value = "5001"
    assert heading(inspector).startswith("item_id 5001 at ")


@pytest.mark.parametrize(
    ("value", "message"), [("7", "no event with user_id 7"), ("x", "needed for the user, got")]
)
def test_what_is_not_there_is_said(inspector, value, message):
    inspector.dials["user"].value = value
    assert message in inspector.below.value


def test_its_tables_are_read_without_a_kernel(inspector):
    assert inspector.below.value in inspector._repr_mimebundle_()["text/html"]
    assert "rb-features" in inspector._dom_classes
