import numpy as np

from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.truth import World
from recbench.simulation.refreshing import QUARTERLY, RefreshedPolicy
from recbench.simulation.seen import SeenItems


def test_what_a_user_was_shown_is_left_out_for_that_user_only():
    seen = SeenItems(3)
    items = np.array([2, 5, 9])
    assert not seen.mask(np.array([0, 1]), items, at_least=1).any()
    seen.note(np.array([1]), np.array([[5, 2]]))

    mask = seen.mask(np.array([0, 1]), items, at_least=1)
    assert mask.tolist() == [[False, False, False], [True, True, False]]


def test_where_too_few_would_be_left_nothing_is_left_out():
    seen = SeenItems(1)
    seen.note(np.array([0]), np.array([[0, 1, 2]]))

    assert not seen.mask(np.array([0]), np.arange(4), at_least=2).any()
    assert seen.mask(np.array([0]), np.arange(5), at_least=2).sum() == 3


def test_a_refreshed_policy_shows_nothing_twice_while_there_is_something_else(little):
    shown = run(World.drawn(little, seed=1), RefreshedPolicy(little, QUARTERLY), tick_s=60)
    of = shown.exposures
    pairs = of.user_ids * 10_000 + of.item_ids
    few = np.bincount(of.user_ids)[of.user_ids] <= 30  # of at least 45 alive

    # within a tick of a minute two requests of one user may meet
    assert len(np.unique(pairs[few])) > 0.9 * few.sum()
