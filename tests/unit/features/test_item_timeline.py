"""Popularity of any item at any instant, beside the sweep over all items."""

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.features.item_timeline import ItemTimeline
from recbench.features.popularity import popularity_snapshots
from recbench.tables.queries import InteractionLog

HALF_LIVES_S = [600.0, 86_400.0, float("inf")]


@pytest.fixture
def log(tiny_events):
    return InteractionLog.from_events(tiny_events)


def test_popularity_equals_the_sweep_at_every_instant(log):
    timeline = ItemTimeline.of(log, half_lives_s=HALF_LIVES_S)
    instants = np.linspace(log.ts.min() - 1, log.ts.max() + 1, 9).astype(np.int64)
    swept = popularity_snapshots(log, instants, half_lives_s=HALF_LIVES_S)
    rows = np.arange(len(log.items))[::-1]
    for number, instant in enumerate(instants):
        found = timeline.popularity(rows, int(instant))
        # sums of up to some hundred positive terms, each rounded
        np.testing.assert_allclose(found, swept[number, rows], rtol=1e-12, atol=1e-300)


def test_a_click_at_the_instant_does_not_count(log):
    timeline = ItemTimeline.of(log, half_lives_s=[float("inf")])
    row, at = log.item_rows[:1], int(log.ts[0])
    before = ((log.item_rows == row) & (log.ts < at)).sum()
    assert timeline.popularity(row, at)[0, 0] == before
    assert timeline.popularity(row, at + 1)[0, 0] == ((log.item_rows == row) & (log.ts <= at)).sum()


def test_age_counts_from_the_first_click_and_is_unknown_before_it(log):
    timeline = ItemTimeline.of(log, half_lives_s=[1.0])
    first = int(log.ts[log.item_rows == 3].min())
    assert timeline.age_us(np.array([3]), first).tolist() == [-1]
    assert timeline.age_us(np.array([3, 3]), first + 7).tolist() == [7, 7]


def test_a_long_sleep_ends_at_nothing_and_not_in_overflow(log):
    timeline = ItemTimeline.of(log, half_lives_s=[1e-3])
    assert timeline.popularity(np.array([0]), int(log.ts.max()) + 10**15)[0, 0] == 0.0


def test_an_empty_log_knows_nothing(log, tiny_events):
    empty = InteractionLog.from_events(tiny_events.clear(), items=log.items)
    timeline = ItemTimeline.of(empty, half_lives_s=[1.0, 2.0])
    assert timeline.popularity(np.array([0, 1]), 5).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert timeline.age_us(np.array([0]), 5).tolist() == [-1]


@pytest.mark.parametrize("half_lives", [[], [0.0], [1.0, -2.0]])
def test_half_lives_must_be_positive(log, half_lives):
    with pytest.raises(InputError, match=str(half_lives).replace("[", r"\[").replace("]", r"\]")):
        ItemTimeline.of(log, half_lives_s=half_lives)
