import threading

import pytest

from recbench.tracking.bounded import within


def test_what_the_action_gives_is_returned():
    assert within(5.0, lambda: 7) == 7


def test_what_the_action_raises_is_raised():
    with pytest.raises(KeyError, match="item 17"):
        within(5.0, lambda: {}["item 17"])


def test_an_action_that_hangs_is_left_behind():
    hung = threading.Event()
    try:
        with pytest.raises(TimeoutError, match="no answer within 0.05 s"):
            within(0.05, hung.wait)
    finally:
        hung.set()
