"""When a rank is given up for its silence."""

from types import SimpleNamespace

import pytest
from torch.distributed import HashStore

from recbench.cluster.attempt import Attempt, RankFailure


@pytest.fixture
def attempt():
    """Two ranks that work, by what their driver knows; both have shown a sign of life."""
    client = SimpleNamespace(submit=lambda *_, **__: SimpleNamespace(status="pending"))
    store = HashStore()
    for number in range(2):
        store.add(f"beat/{number}", 1)
    made = Attempt(
        client, store, ["a", "b"], lambda n: SimpleNamespace(attempt="1", number=n), stale_s=2.0
    )
    made._look_for_beats()
    return made


def test_one_that_says_nothing_is_named_with_its_worker(attempt):
    attempt._silent_s = [0.0, 2.1]
    with pytest.raises(RankFailure, match="Rank 1 of 2 at b said nothing for 2 s") as raised:
        attempt._look_for_beats()
    assert raised.value.worker == "b"


def test_one_that_beats_lives(attempt):
    attempt._silent_s = [0.0, 2.1]
    attempt.store.add("beat/1", 1)
    attempt._look_for_beats()
    assert attempt._silent_s == [0.0, 0.0]


def test_one_that_has_ended_need_not_say_anything_while_its_end_is_on_its_way(attempt):
    attempt._silent_s = [0.0, 2.1]
    attempt.store.set("ended/1", "")
    attempt._look_for_beats()
    assert attempt._silent_s == [0.0, 0.0]
