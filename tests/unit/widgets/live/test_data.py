"""The data explorer's dials choose a part of the log and how it is looked at."""

import re

import pytest

from recbench.widgets.live import data_explorer


@pytest.fixture
def explorer(tiny_events):
    return data_explorer(tiny_events)


def facts(panel):
    """Of the part chosen, by name."""
    rows = re.findall(r"<tr><td[^>]*>([^<]*)</td><td[^>]*>([^<]*)</td>", panel.below.value)
    return dict(rows)


def test_it_opens_on_the_whole_log(explorer, tiny_events):
    assert facts(explorer)["events"] == f"{len(tiny_events):,}"
    assert "events on the busiest of" in explorer.below.value


def test_a_range_of_time_leaves_the_rest_out(explorer, tiny_events):
    options = [value for _, value in explorer.dials["span"].options]
    explorer.dials["span"].index = (20, 40)
    ts = tiny_events["ts"]
    inside = ((ts >= options[20]) & (ts < options[40])).sum()
    assert facts(explorer)["events"] == f"{inside:,}"
    explorer.dials["span"].index = (20, 100)
    assert facts(explorer)["events"] == f"{(ts >= options[20]).sum():,}"


def test_users_and_items_can_be_typed(explorer, tiny_events):
    user_id = tiny_events["user_id"][0]
    explorer.dials["users"].value = str(user_id)
    own = tiny_events.filter(tiny_events["user_id"] == user_id)
    assert facts(explorer)["events"] == str(len(own))
    assert facts(explorer)["users"] == "1"
    explorer.dials["items"].value = "1"
    assert "no event of these users and items" in explorer.below.value


@pytest.mark.parametrize(
    ("view", "finding"),
    [
        ("gaps between events", "Half of the next events come"),
        ("events at one instant", "of the events share their user"),
        ("concentration", "The top 10% of the items get"),
        ("drift", "top 20 items"),
        ("rows", "<th"),
    ],
)
def test_it_can_be_looked_at_in_several_ways(explorer, view, finding):
    explorer.dials["view"].value = view
    assert finding in explorer.below.value


def test_the_top_list_of_drift_is_as_long_as_asked(explorer):
    explorer.dials["view"].value = "drift"
    explorer.dials["k"].value = 5
    assert "top 5 items" in explorer.below.value


def test_a_log_of_one_instant_can_be_looked_at(tiny_events):
    assert facts(data_explorer(tiny_events.head(1)))["events"] == "1"


def test_its_root_has_a_class_of_its_own(explorer):
    assert "rb-data" in explorer._dom_classes
