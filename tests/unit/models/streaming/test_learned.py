"""Refreshed step by step or fitted at once: the same; and what the parts say."""

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.models.streaming.blend import Blend, BlendDials
from recbench.models.streaming.kernels import history_weights
from recbench.models.streaming.neighbours import Neighbours
from recbench.models.streaming.popular import FadingPopularity
from recbench.models.streaming.transitions import Transitions
from recbench.tables.click_stream import ClickStream


def stream_of(rows):
    """From (user, item, second); arrival is the second unless a fourth value says otherwise."""
    frame = pl.DataFrame(
        {
            c.USER_ID: [row[0] for row in rows],
            c.ITEM_ID: [row[1] for row in rows],
            c.TS: [row[2] * 1_000_000 for row in rows],
            c.ARRIVAL_TS: [row[-1] * 1_000_000 for row in rows],
            c.CLICKED: [True] * len(rows),
        }
    )
    return ClickStream.of(frame.with_columns(pl.col(c.TS, c.ARRIVAL_TS).cast(c.INSTANT)))


@pytest.fixture(scope="module")
def stream():
    rng = np.random.default_rng(0)
    seconds = np.sort(rng.integers(1, 1000, 400)).tolist()
    users, items = rng.integers(0, 30, 400).tolist(), rng.integers(0, 15, 400).tolist()
    late = rng.integers(0, 50, 400).tolist()
    rows = zip(
        users, items, seconds, [a + b for a, b in zip(seconds, late, strict=True)], strict=True
    )
    return stream_of([*rows])


@pytest.mark.parametrize(
    "begin",
    [
        lambda s: Transitions.nothing(len(s.items), reach=3, back=0.5, half_life_s=200.0),
        lambda s: Neighbours.nothing(len(s.users), len(s.items)),
        lambda s: Blend.nothing(s, BlendDials()),
    ],
)
def test_many_small_refreshes_equal_one_fit(stream, begin):
    whole = begin(stream).learned(stream, to=900_000_000)
    steps = begin(stream)
    for second in (100, 150, 400, 401, 900):
        steps = steps.learned(stream, to=second * 1_000_000)
    histories = stream.histories(np.arange(30), np.full(30, 200), length=20)

    one, many = (each.scores(histories).toarray() for each in (whole, steps))

    assert one.any()
    np.testing.assert_allclose(many, one, rtol=1e-9)


def test_popularity_fades_by_half_in_a_half_life():
    stream = stream_of([(1, 7, 10), (2, 7, 20), (3, 8, 30)])
    popular = FadingPopularity.nothing(2, half_life_s=10.0)

    step = popular.learned(stream, to=15_000_000).learned(stream, to=30_000_000)

    # item 7: clicks 20 s and 10 s ago, 1/4 + 1/2; item 8's click is of the instant itself
    np.testing.assert_allclose(step.values, [0.75, 0.0])
    np.testing.assert_allclose(popular.learned(stream, to=30_000_000).values, step.values)


def test_what_follows_is_counted_by_distance_both_ways():
    stream = stream_of([(1, 0, 1), (1, 1, 2), (1, 2, 3)])
    counts = Transitions.nothing(3, reach=2, back=0.5).learned(stream, to=9_000_000).counts

    # 0 -> 1 and 1 -> 2 are one apart, 0 -> 2 two; back they weigh half
    expected = [[0, 1, 0.5], [0.5, 0, 1], [0.25, 0.5, 0]]
    np.testing.assert_allclose(counts.toarray(), expected)


def test_nobody_is_a_neighbour_of_oneself():
    stream = stream_of([(1, 0, 1), (1, 1, 2), (2, 0, 3), (2, 2, 4)])
    model = Neighbours.nothing(2, 3).learned(stream, to=9_000_000)

    found = model.scores(stream.histories(np.array([0]), np.array([4]), length=5)).toarray()

    np.testing.assert_allclose(found, [[0.5, 0.0, 0.5]])


def test_a_click_that_arrived_late_is_not_known_before():
    stream = stream_of([(1, 0, 1, 50), (1, 1, 2, 2)])

    known = stream.histories(
        np.array([0, 0]), stream.n_known(np.array([50, 51]) * 1_000_000), length=3
    )

    assert stream.items.ids[known.item_rows[0][:1]].tolist() == [1]
    assert known.item_rows[0][1:].tolist() == [-1, -1]
    assert stream.items.ids[known.item_rows[1][:2]].tolist() == [0, 1]


def test_a_history_weighs_its_newest_click_most():
    stream = stream_of([(1, 0, 1), (1, 1, 2), (1, 0, 3)])
    histories = stream.histories(np.array([0, -1]), np.array([3, 3]), length=5)

    weights = history_weights(histories, n_items=2, fade=1.0).toarray()

    # newest first 1, 1/2, 1/3 of 11/6; nobody has nothing
    np.testing.assert_allclose(weights, [[8 / 11, 3 / 11], [0.0, 0.0]])
