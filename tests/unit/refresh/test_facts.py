"""What a window looks like from outside."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench import columns as c
from recbench.refresh.facts import WindowFacts, window_facts
from recbench.tables.vocabulary import Vocabulary

START = datetime(2026, 1, 1, tzinfo=UTC)
START_US = round(START.timestamp() * 1e6)


@pytest.fixture
def events():
    return pl.DataFrame(
        {
            c.USER_ID: [1, 1, 2, 3],
            c.ITEM_ID: [10, 10, 11, 12],
            c.TS: [START + timedelta(seconds=s) for s in (5, 6, 100, 110)],
            c.CLICKED: [True, True, True, False],
            c.CATEGORY: ["a", None, "b", "a"],
            "speed": [1.0, float("nan"), None, float("inf")],
        },
        schema_overrides={c.TS: c.INSTANT},
    )


def found(events, **options):
    end = START_US + 300_000_000
    return window_facts(events, start=START_US, end=end, items=Vocabulary([10, 12]), **options)


def test_counts_and_shares(events):
    facts = found(events, n_late=3)
    assert (facts.n_events, facts.n_clicks, facts.n_users, facts.n_new_items) == (4, 3, 3, 1)
    assert facts.n_late == 3
    assert facts.top_item_share == pytest.approx(2 / 3)
    assert facts.top_user_share == pytest.approx(2 / 4)
    assert facts.click_rate == pytest.approx(3 / 4)
    assert (facts.gap_s, facts.span_s) == (190.0, 300.0)  # from the last event to the end
    assert facts.filled == {"category": 0.75}


def test_what_is_no_number_is_counted_and_null_is_not(events):
    assert found(events).n_not_finite == 2


def test_an_empty_window_is_one_silence(events):
    facts = found(events.clear())
    assert facts.gap_s == 300.0
    assert (facts.click_rate, facts.top_item_share) == (0.0, 0.0)


def test_they_survive_a_manifest(events):
    facts = found(events)
    assert WindowFacts.from_json(facts.to_json()) == facts
