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
    assert (pending.n_late, pending.n_unknown) == (2, 1)
    done = pending.closed(1_140)
    assert done is not None
    assert done.rewards.tolist() == [0, 0]
    act(pending, 1, 7, 1_050)  # in time by its own clock, but its reward is made
    assert (pending.n_late, pending.n_unknown) == (3, 1)
    pending.closed(1_400)
    act(pending, 1, 7, 1_050)  # by now nobody remembers it
    assert (pending.n_late, pending.n_unknown) == (3, 2)


def test_item_that_a_request_shows_twice_is_refused(pending):
    with pytest.raises(InputError, match="shows one item twice"):
        pending.note(ids(3, 3), ids(7, 7), ids(1, 1), np.eye(2))
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
    assert pending.arrays() == {}
