import json

import pytest

from recbench.errors import InputError
from recbench.jobs.schedules.store import ScheduleStore


@pytest.fixture
def store(tmp_path):
    return ScheduleStore.of(tmp_path)


def test_a_schedule_is_kept_and_found_by_its_name(store, quarterly, noon):
    store.add(quarterly(parameters={"k": 5}))

    assert store.names() == ["refresh"]
    assert store.read("refresh") == quarterly(parameters={"k": 5})
    assert store.state("refresh").handled_until == noon


def test_a_name_is_taken_once(store, quarterly):
    store.add(quarterly())

    with pytest.raises(InputError, match="a schedule `refresh` already"):
        store.add(quarterly())


def test_an_unknown_name_is_refused_with_those_that_there_are(store, quarterly):
    store.add(quarterly())

    for act in (store.read, store.state, store.remove, store.pause):
        with pytest.raises(InputError, match="no schedule `x`; there are: refresh"):
            act("x")
    assert store.names() == ["refresh"]
    assert not (store.folder / "x").exists()


def test_what_is_removed_is_gone_and_its_name_is_free(store, quarterly):
    store.add(quarterly())
    store.remove("refresh")

    assert store.names() == []
    store.add(quarterly())
    assert store.state("refresh").occurrences == []


def test_what_runs_is_not_removed(store, quarterly, minutes):
    store.add(quarterly())
    with store.change("refresh") as state:
        state.claim(quarterly(), minutes(15), 1, minutes(15))

    with pytest.raises(InputError, match="`refresh` runs now"):
        store.remove("refresh")
    assert store.names() == ["refresh"]


def test_an_error_in_the_middle_of_a_change_changes_nothing(store, quarterly, minutes):
    store.add(quarterly())

    def change():
        with store.change("refresh") as state:
            state.claim(quarterly(), minutes(15), 1, minutes(15))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()
    assert store.state("refresh").occurrences == []


def test_an_attempt_is_held_by_one(store, quarterly, minutes):
    store.add(quarterly())

    with store.held("refresh", minutes(15), 1) as first:
        with store.held("refresh", minutes(15), 1) as second:
            assert (first, second) == (True, False)
        assert store.is_held("refresh", minutes(15), 1)
        assert not store.is_held("refresh", minutes(15), 2)
    assert not store.is_held("refresh", minutes(15), 1)


def test_a_file_that_is_no_schedule_is_named(store, quarterly):
    store.add(quarterly())
    (store.folder / "refresh" / "schedule.json").write_text(json.dumps({"name": "refresh"}))

    with pytest.raises(InputError, match="no schedule: KeyError"):
        store.read("refresh")
