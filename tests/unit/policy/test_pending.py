import numpy as np
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy.reward import Reward
from recbench.policy.pending import PendingDecisions

WINDOW = 100


def ids(*values):
    return np.array(values, dtype=np.int64)


@pytest.fixture
def pending():
    """Request 1 shows items 7 and 8 at 1,000, request 2 item 7 at 1,050."""
    pending = PendingDecisions(window_us=WINDOW, reward=Reward(watch_share=0.5, full_watch_ms=100))
    pending.note(ids(1, 1), ids(7, 8), ids(1_000, 1_000), np.eye(2))
    pending.note(ids(2), ids(7), ids(1_050), np.ones((1, 2)))
    return pending


def act(pending, request, item, at, *, clicked=True, watch_ms=0):
    pending.act(ids(request), ids(item), ids(at), np.array([clicked]), ids(watch_ms))


def test_reward_is_whole_once_the_window_is_over(pending):
    act(pending, 1, 8, 1_010)
    act(pending, 1, 8, 1_090, clicked=False, watch_ms=30)  # watch time arrives later, and adds up
    act(pending, 1, 8, 1_100, clicked=False, watch_ms=40)
    assert pending.closed(1_100) is None  # an action at 1,100 could still come
    done = pending.closed(1_101)
    assert done is not None
    assert done.features.tolist() == [[1, 0], [0, 1]]
    assert done.rewards == pytest.approx([0, 0.5 + 0.5 * 0.7])
    assert len(pending) == 1


def test_late_actions_and_those_on_nothing_are_counted(pending):
    act(pending, 1, 7, 1_101)  # after its window
    act(pending, 1, 7, 999)  # before it was shown
    act(pending, 5, 5, 1_010)
    assert (pending.n_late, pending.n_unknown, pending.n_early) == (2, 0, 1)
    done = pending.closed(1_140)
    assert done is not None
    assert done.rewards.tolist() == [0, 0]
    assert (pending.n_late, pending.n_unknown, pending.n_early) == (2, 1, 0)
    act(pending, 1, 7, 1_050)  # in time by its own clock, but its reward is made
    assert (pending.n_late, pending.n_unknown) == (3, 1)
    pending.closed(1_400)
    act(pending, 1, 7, 1_050)  # by now nobody remembers it
    pending.closed(1_401)
    assert (pending.n_late, pending.n_unknown) == (3, 2)


def test_decision_that_is_told_twice_counts_once(pending):
    pending.note(ids(3, 3), ids(7, 7), ids(1_100, 1_100), np.eye(2))
    pending.note(ids(1, 4), ids(7, 7), ids(1_000, 1_100), np.eye(2))
    assert (len(pending), pending.n_repeats) == (5, 2)
    assert len(pending.closed(2_000)) == 5
    pending.note(ids(4), ids(7), ids(1_100), np.eye(2)[:1])  # its window is over
    assert (len(pending), pending.n_repeats) == (0, 3)


def test_action_that_comes_before_its_exposure_waits_for_it(pending):
    act(pending, 9, 7, 1_090, watch_ms=50)
    act(pending, 9, 7, 1_300)  # after the window, whenever it is told
    pending.closed(1_080)  # the exposure may still come
    again = PendingDecisions(window_us=WINDOW, reward=pending.reward)
    again.restore(pending.arrays())
    for one in (pending, again):
        one.note(ids(9), ids(7), ids(1_085), np.ones((1, 2)))
        assert (one.n_early, one.n_late) == (0, 1)
        assert one.closed(2_000).rewards.tolist() == [0, 0, 0, 0.5 + 0.5 * 0.5]


def test_what_is_shown_and_when_comes_with_its_reward(pending):
    done = pending.closed(2_000)
    assert done.item_ids.tolist() == [7, 8, 7]
    assert done.ts.tolist() == [1_000, 1_000, 1_050]


def test_window_must_be_positive():
    with pytest.raises(InputError, match="`window_us` must be positive, got 0"):
        PendingDecisions(window_us=0, reward=Reward())


def test_what_waits_is_kept_and_taken_up_again(pending):
    act(pending, 2, 7, 1_060)
    again = PendingDecisions(window_us=WINDOW, reward=pending.reward)
    again.restore(pending.arrays())
    for one in (pending, again):
        act(one, 1, 7, 1_020, clicked=False, watch_ms=100)
        done = one.closed(2_000)
        assert done is not None
        assert done.rewards.tolist() == [0.5, 0, 0.5]
    later = PendingDecisions(window_us=WINDOW, reward=pending.reward)
    later.restore(pending.arrays())
    for one in (pending, later):  # what is over is remembered, too
        act(one, 2, 7, 1_060)
        one.note(ids(2), ids(7), ids(1_050), np.ones((1, 2)))
        assert (one.n_late, one.n_repeats, len(one)) == (1, 1, 0)
    pending.closed(9_999)
    assert pending.arrays() == {}
