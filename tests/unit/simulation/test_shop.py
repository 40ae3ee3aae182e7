from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.protocol import Asked
from recbench.datasets.world.truth import World
from recbench.errors import InputError
from recbench.simulation.shop import LIKE_A_SHOP, Habits, VisitorPolicy, sessions, shop_clicks
from recbench.simulation.traits import traits

START = datetime(2026, 1, 1, tzinfo=UTC)
LITTLE = replace(LIKE_A_SHOP, days=1.0, n_users=400, n_live=200, n_categories=20, mood_gain=10.0)
NEVER = Habits(returns=0.0, returns_after_break=0.0)
ALIKE = Habits(returns=0.3, returns_after_break=0.3, spread=0.0, growth=0.0)


def log(*rows):
    users, items, minutes = zip(*rows, strict=True)
    ts = [START + timedelta(minutes=m) for m in minutes]
    frame = pl.DataFrame({"user_id": users, "item_id": items, "ts": ts, "clicked": True})
    return frame.with_columns(pl.col("ts").dt.cast_time_unit("us"))


def returns(clicks):
    """Of next clicks, those on an item that the session had."""
    again = ~clicks.select(pl.struct("user_id", "item_id").is_first_distinct()).to_series()
    return again.sum() / (len(clicks) - clicks["user_id"].n_unique())


def test_a_pause_begins_a_new_session():
    frame = log((1, 5, 0), (2, 5, 1), (1, 6, 20), (1, 7, 51), (2, 8, 200))
    found = sessions(frame)["user_id"].to_list()

    assert found[0] == found[2]
    assert len(set(found)) == 4


def test_visitors_find_what_they_are_in_the_mood_for_and_click_it():
    world = World.drawn(LITTLE, seed=1)
    shown = run(world, VisitorPolicy(world, NEVER, seed=1), tick_s=900)
    of = shown.exposures
    mood = world.tastes.mood(of.user_ids, of.hours)

    assert (world.items.category[of.item_ids] == mood).mean() > 0.95
    assert shown.clicked.mean() > 0.99


def test_choices_come_as_often_as_their_propensities_say():
    world = World.drawn(LITTLE, seed=1)
    n, alive = 20_000, world.items.alive(12.0)[:6]
    users = np.zeros(n, dtype=np.int64)
    asked = Asked(np.arange(n), users, np.full(n, 12.0), alive, 1)
    slates = VisitorPolicy(world, NEVER, seed=1).slates(asked)

    for item in np.unique(slates.item_ids):
        this = slates.item_ids[:, 0] == item
        chance = slates.propensities[this, 0]
        np.testing.assert_allclose(chance, chance[0])
        error = (chance[0] * (1 - chance[0]) / n) ** 0.5
        assert this.mean() == pytest.approx(chance[0], abs=4 * error)


def test_visitors_come_back_as_often_as_their_habits_say():
    half_a_day = replace(LITTLE, days=0.5, n_users=600)
    clicks = shop_clicks(half_a_day, ALIKE, seed=1)
    n = len(clicks) - clicks["user_id"].n_unique()

    # a click that follows within the tick of the last one cannot come back to it
    assert returns(clicks) == pytest.approx(0.3, abs=0.03 + 4 * (0.21 / n) ** 0.5)
    assert returns(shop_clicks(half_a_day, NEVER, seed=1)) < 0.02
    assert clicks.group_by("user_id").len()["len"].min() == 2


def test_the_chance_to_come_back_is_that_of_its_habits_for_a_usual_visit_of_one_click():
    habits = Habits(returns=0.25, returns_after_break=0.5, growth=0.5)

    assert habits.chance(1, late=False, luck=0.5) == pytest.approx(0.25)
    assert habits.chance(1, late=True, luck=0.5) == pytest.approx(0.5)
    # odds of 1 : 3, doubled by four clicks
    assert habits.chance(4, late=False, luck=0.5) == pytest.approx(0.4)


def test_visits_differ_by_normal_logits():
    habits = Habits(returns=0.5, spread=2.0)
    one_sd_up = 0.841344746

    assert habits.chance(1, late=False, luck=one_sd_up) == pytest.approx(1 / (1 + np.exp(-2.0)))
    lucks = np.linspace(0.0005, 0.9995, 1_000)
    chances = np.array([habits.chance(1, late=False, luck=luck) for luck in lucks])
    logits = np.log(chances / (1 - chances))
    assert logits.mean() == pytest.approx(0, abs=1e-6)
    assert logits.std() == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("returns", [0.0, 1.0])
def test_who_never_or_always_comes_back_does_so_with_any_luck(returns):
    habits = Habits(returns=returns)
    assert [habits.chance(n, late=False, luck=0.01) for n in (1, 9)] == [returns, returns]


def test_returns_of_a_visit_are_alike_only_if_visits_differ():
    half_a_day = replace(LITTLE, days=0.5, n_users=600, session_requests=4.0)
    differing = shop_clicks(half_a_day, replace(ALIKE, spread=2.0), seed=1)
    alike = shop_clicks(half_a_day, ALIKE, seed=1)

    assert traits(differing)["returns_alike"] > 0.2
    assert abs(traits(alike)["returns_alike"]) < 0.1


def test_the_later_the_click_the_likelier_it_is_come_back_to():
    world = World.drawn(LITTLE, seed=1)
    policy = VisitorPolicy(world, Habits(recency=2.0), seed=1)
    visit = policy._visit(0, 1.0, luck=0.5)
    visit.clicked = [7, 5, 7, 9, 4]
    weights = policy._back(visit, np.array([5, 7, 9]))

    # 4 is gone; of the others 9 was clicked 2 clicks ago, 7 last 3 ago, 5 4 ago
    np.testing.assert_allclose(weights, [1 / 16, 1 / 9, 1 / 4])
    assert not policy._back(policy._visit(0, 1.6, luck=0.5), np.array([5, 7, 9])).any()


def test_a_slate_of_two_is_refused():
    world = World.drawn(replace(LITTLE, slate=2), seed=1)
    with pytest.raises(InputError, match="one item a request, got a slate of 2"):
        run(world, VisitorPolicy(world, NEVER, seed=1), until_h=1.0)
