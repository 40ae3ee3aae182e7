from dataclasses import replace

import numpy as np

from recbench.datasets.simulator import events_of
from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.truth import World
from recbench.simulation.validate import LIKE_A_SHOP, SearchPolicy, compared, sessions

LITTLE = replace(LIKE_A_SHOP, days=2.0, n_users=100, n_live=200, n_categories=20)


def test_visitors_find_what_they_are_in_the_mood_for():
    world = World.drawn(LITTLE, seed=1)
    of = run(world, SearchPolicy(world, seed=1), tick_s=900).exposures
    mood = world.tastes.mood(of.user_ids, of.hours)
    fits = (world.items.category[of.item_ids] == mood).mean()

    # a twentieth of the items fit: e ** 6 / (e ** 6 + 19) is .955
    assert 0.9 < fits < 0.99


def test_a_world_held_against_its_own_log_lies_within_the_interval():
    world = World.drawn(LITTLE, seed=1)
    log = sessions(events_of(run(world, SearchPolicy(world, seed=1), tick_s=900), world))
    same = compared(log, LITTLE, share=0.4, seed=1)

    assert same["inside"].all()
    np.testing.assert_allclose(same["real"], same["simulated"])
    assert not compared(log, replace(LITTLE, item_half_life_h=2.0), share=0.4, seed=1)[
        "inside"
    ].all()
