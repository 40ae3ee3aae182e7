from dataclasses import replace

import numpy as np
import pytest

from recbench.datasets.world.settings import PUBLISHED, WorldSettings
from recbench.datasets.world.tastes import Tastes
from recbench.datasets.world.truth import World
from recbench.errors import InputError


def test_a_taste_agrees_with_itself_by_half_after_its_half_life():
    settings = WorldSettings(n_users=2_000, taste_half_life_h=5.0)
    tastes = Tastes.drawn(settings, seed=1)
    users, categories = np.arange(2_000)[:, None], np.arange(31)[None, :]
    at_first = tastes.liking(users, categories, np.array(7.0))

    assert at_first.mean() == pytest.approx(0, abs=4 / 62_000**0.5)
    assert at_first.std() == pytest.approx(1, abs=0.02)
    for after_h in (2.5, 5.0, 10.0, 20.0):
        later = tastes.liking(users, categories, np.array(7.0 + after_h))
        # a product of two normals has a variance of at most 2
        assert (at_first * later).mean() == pytest.approx(
            2 ** (-after_h / 5.0), abs=4 * (2 / 62_000) ** 0.5
        )


def test_a_mood_lasts_as_long_as_it_is_said_to(small_world):
    users = np.arange(100)
    hours = np.arange(0, 200, 0.05)
    moods = small_world.tastes.mood(users[:, None], hours[None, :])
    jumps = np.count_nonzero(moods[:, 1:] != moods[:, :-1])

    # every 2 h a new one, which is another one 30 times of 31
    assert jumps / (100 * 100) == pytest.approx(30 / 31, abs=0.02)
    assert moods.min() == 0
    assert moods.max() == 30


def test_an_item_loses_half_its_odds_in_its_half_life(small_world):
    items = small_world.items
    rows = np.flatnonzero(np.isinf(items.viral_h))[:50]
    born, half = items.born_h[rows], items.half_life_h[rows]

    lost = items.attraction(rows, born + half) - items.attraction(rows, born)
    np.testing.assert_allclose(lost, -np.log(2))


def test_viral_items_rise_after_their_birth_and_fall_again(small_world):
    items = small_world.items
    rows = np.flatnonzero(np.isfinite(items.viral_h))
    quiet = (
        items.appeal[rows]
        - np.log(2) * (items.viral_h[rows] - items.born_h[rows]) / items.half_life_h[rows]
    )

    assert len(rows)
    assert (items.viral_h[rows] > items.born_h[rows]).all()
    np.testing.assert_allclose(
        items.attraction(rows, items.viral_h[rows]) - quiet, small_world.settings.viral_gain
    )


def test_as_many_items_as_wanted_are_alive_and_none_before_its_birth():
    world = World.drawn(WorldSettings(n_live=2_000, days=3.0), seed=1)
    counts = [len(world.items.alive(hour)) for hour in range(0, 72, 6)]

    # about Poisson: sqrt(2000) = 45
    assert np.mean(counts) == pytest.approx(2_000, abs=4 * 45)
    assert (world.items.born_h[world.items.alive(30.0)] < 30.0).all()
    assert np.array_equal(world.items.born_h, np.sort(world.items.born_h))


def test_outcomes_average_to_the_truth_they_were_drawn_from(small_world):
    rng = np.random.default_rng(0)
    n = 200_000
    requests = rng.integers(0, len(small_world.traffic), n)
    items = rng.integers(0, len(small_world.items), n)
    _, kept = np.unique(requests * len(small_world.items) + items, return_index=True)
    requests, items = requests[kept], items[kept]
    positions = rng.integers(0, 10, len(kept))
    found = small_world.outcomes(requests, items, positions, np.zeros(len(kept)))
    chance, watch_s = found.truth.click_probability, found.truth.expected_watch_s

    error = (chance * (1 - chance)).sum() ** 0.5 / len(kept)
    assert abs(found.clicked.mean() - chance.mean()) < 4 * error
    error = (found.watch_s - watch_s).std() / len(kept) ** 0.5
    assert abs((found.watch_s - watch_s).mean()) < 4 * error
    valid = np.minimum(small_world.items.duration_s[items], 7.0)
    assert (found.watch_s[found.clicked] >= valid[found.clicked]).all()
    assert (found.watch_s[~found.clicked] < valid[~found.clicked]).all()
    assert (found.watch_s <= small_world.items.duration_s[items]).all()


def test_the_truth_falls_with_the_position_and_rises_with_the_counter(small_world):
    one = (np.array([3]), np.array([5]), np.array([2.0]))
    first, tenth = (small_world.truth(*one, positions=p) for p in (0, 9))
    seen = small_world.truth(*one, clicks_of_late=np.e - 1)

    ratio = tenth.click_probability / first.click_probability
    assert ratio == pytest.approx(10**-0.1)  # attention .1
    odds = [t.click_probability / (1 - t.click_probability) for t in (first, seen)]
    assert np.log(odds[1] / odds[0]) == pytest.approx(0.1)  # social_gain
    assert seen.expected_watch_s > first.expected_watch_s > tenth.expected_watch_s


def test_the_evening_is_busiest_and_users_differ():
    busy = World.drawn(WorldSettings(n_users=500, days=7.0, n_live=50), seed=1).traffic
    by_hour = np.bincount((busy.hours % 24).astype(int), minlength=24)

    assert by_hour[19:22].min() > 1.8 * by_hour[7:10].max()
    assert np.array_equal(busy.hours, np.sort(busy.hours))
    # 500 users, 7 days, 38.1 requests a day; sessions of 6 make the count vary more
    assert len(busy) == pytest.approx(500 * 7 * 38.1, rel=0.03)
    counts = np.bincount(busy.users, minlength=500)
    assert counts.max() > 5 * np.median(counts)


def test_gaps_and_sessions_spread_as_they_are_told_to():
    size = {"n_users": 2_000, "days": 2.0, "n_live": 50, "activity_sd": 0.0}
    often = WorldSettings(requests_per_user_day=5.0, **size)
    even = World.drawn(often, seed=1).traffic
    uneven = World.drawn(replace(often, gap_sd=1.3, session_sd=1.0), seed=1).traffic
    gaps = [_gaps_s(traffic) for traffic in (even, uneven)]
    decile = [np.quantile(own, 0.9) / np.median(own) for own in gaps]

    # of an exponential ln 10 / ln 2 = 3.32, of a log-normal e ** (1.2816 * 1.3) = 5.29; sessions
    # that happen to meet lengthen both
    assert decile[0] == pytest.approx(3.4, abs=0.15)
    assert decile[1] == pytest.approx(5.4, abs=0.3)
    assert [len(traffic) for traffic in (even, uneven)] == pytest.approx([20_000] * 2, rel=0.05)


def _gaps_s(traffic):
    order = np.lexsort((traffic.hours, traffic.users))
    gaps = np.diff(traffic.hours[order])[np.diff(traffic.users[order]) == 0] * 3600
    return gaps[gaps < 1_800]


def test_moods_are_as_uneven_as_they_are_told_to_be():
    users, hours = np.arange(2_000)[:, None], np.arange(0, 40, 2.0)[None, :]
    shares = []
    for mood_sd in (0.0, 1.0):
        settings = WorldSettings(n_users=2_000, n_live=50, mood_sd=mood_sd, n_categories=20)
        moods = World.drawn(settings, seed=1).tastes.mood(users, hours)
        shares.append(np.bincount(moods.ravel(), minlength=20) / moods.size)

    # 40,000 moods: a share of .05 has a standard error of .0011
    assert np.ptp(shares[0]) < 0.01
    assert np.log(shares[1]).std() == pytest.approx(1.0, abs=0.4)  # of 20 normal numbers


def test_the_published_statistics_are_those_of_the_dials():
    settings = WorldSettings()
    shown = settings.requests_per_user_day * settings.slate

    assert shown == pytest.approx(PUBLISHED["impressions_per_user_day"].value, rel=0.001)
    assert settings.valid_play_s == PUBLISHED["valid_play_s"].value
    assert settings.peak_hour == PUBLISHED["peak_hour"].value
    assert all(fact.source for fact in PUBLISHED.values())


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"days": 0}, "`days` must be positive, got 0"),
        ({"n_live": 10}, "at most half of `n_live`, got 10 of 10"),
        ({"rhythm": 1.0}, "`rhythm` must be in [0, 1), got 1.0"),
        ({"n_categories": 1}, "`n_categories` must be at least 2, got 1"),
        ({"label_delay_s": -1}, "`label_delay_s` must not be negative, got -1"),
        ({"gap_sd": -0.5}, "`gap_sd` must not be negative, got -0.5"),
    ],
)
def test_a_world_that_cannot_be_is_refused(dials, message):
    with pytest.raises(InputError) as error:
        WorldSettings(**dials)
    assert message in str(error.value)
