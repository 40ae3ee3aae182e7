"""Popularity carried on by itself against popularity computed from the whole log."""

import numpy as np
import pytest

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.item_timeline import ItemTimeline
from recbench.features.running_popularity import RunningPopularity
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

DAY_US = 86_400_000_000
HALF_LIVES_S = (86_400.0, 10 * 86_400.0)


@pytest.fixture(scope="module")
def log(tiny_events):
    return InteractionLog.from_events(tiny_events)


def instants(log):
    start = int(log.ts.min())
    return [start + days * DAY_US for days in (5, 6, 6, 20, 41)]


def of(log, at):
    return RunningPopularity.of(log, at=at, half_lives_s=HALF_LIVES_S)


def test_carried_from_instant_to_instant_it_is_that_of_the_whole_log(log):
    first, *later = instants(log)
    running = of(log, first)
    for instant in later:
        running = running.advanced(log, to=instant)
        expected = of(log, instant)
        np.testing.assert_allclose(running.values, expected.values, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(running.first_ts, expected.first_ts)


def test_ages_are_those_of_the_timeline(log):
    at = instants(log)[1]
    rows = np.arange(len(log.items))
    expected = ItemTimeline.of(log, half_lives_s=HALF_LIVES_S).age_us(rows, at)
    np.testing.assert_array_equal(of(log, at).age_us(rows, at), expected)


def test_an_event_at_the_instant_counts_from_then_on(log):
    event = np.argmax(log.ts)
    before, row = of(log, int(log.ts[event])), log.item_rows[event]
    after = before.advanced(log, to=int(log.ts[event]) + 1)
    assert after.values[row, 0] - before.values[row, 0] == pytest.approx(1.0)


def test_it_grows_by_items_that_nobody_has_clicked(log, tiny_events):
    at, n = instants(log)[1], len(log.items)
    grown = of(log, at).grown(n + 1)
    assert grown.age_us(np.array([n]), at) == [-1]
    assert not grown.values[n].any()
    new = tiny_events.tail(1).with_columns(item_id=99_999)
    wider = Vocabulary([*log.items.ids, 99_999])
    ts = new[c.TS].dt.epoch("us")[0]
    carried = grown.advanced(InteractionLog.from_events(new, items=wider), to=ts + 5)
    assert carried.age_us(np.array([n]), ts + 5) == [5]


@pytest.mark.parametrize(("shift", "more"), [(-1, 0), (0, 1)])
def test_it_goes_forward_over_its_own_catalogue_only(log, shift, more):
    at = instants(log)[0]
    with pytest.raises(InputError, match="cannot be carried to"):
        of(log, at).grown(len(log.items) + more).advanced(log, to=at + shift)


def test_it_is_known_as_of_its_instant_only(log):
    at = instants(log)[0]
    with pytest.raises(InputError, match=f"known as of {at}, not of {at + 1}"):
        of(log, at).popularity(np.array([0]), at + 1)
