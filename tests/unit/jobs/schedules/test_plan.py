from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbench.jobs.schedules.plan import LeftOut, Start, plan
from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.state import State
from recbench.jobs.schedules.times import Every

ALONE = "nobody carried schedules out"
BUSY = "the run before had not ended"


def begin(schedule, state, now, **options):
    """Carry out the plan as far as it leaves out and begins; what was begun."""
    made = plan(schedule, state, now, **options)
    if made.left_out:
        state.leave_out(*made.left_out)
    return [start for start in made.starts if state.claim(schedule, *start, now)]


def end(schedule, state, due, now, status="succeeded"):
    state.end(schedule, due, status=status, error=None, now=now)


def test_nothing_is_due_before_the_first_time(quarterly, fresh, minutes):
    made = plan(quarterly(), fresh, minutes(14))

    assert made.starts == ()
    assert made.next_at == minutes(15)


def test_a_time_is_begun_once(quarterly, fresh, minutes):
    schedule = quarterly()

    assert begin(schedule, fresh, minutes(15)) == [Start(minutes(15), 1)]
    assert begin(schedule, fresh, minutes(15)) == []
    end(schedule, fresh, minutes(15), minutes(16))
    assert begin(schedule, fresh, minutes(16)) == []


def test_a_clock_that_is_set_back_begins_nothing_again(quarterly, fresh, minutes):
    schedule = quarterly()
    begin(schedule, fresh, minutes(30))
    end(schedule, fresh, minutes(30), minutes(31))

    assert begin(schedule, fresh, minutes(15)) == []
    assert not fresh.claim(schedule, minutes(15), 1, minutes(15))


def test_a_run_is_not_overlapped_by_the_next_one(quarterly, fresh, minutes):
    schedule = quarterly()
    begin(schedule, fresh, minutes(15))

    assert plan(schedule, fresh, minutes(30)).starts == ()
    end(schedule, fresh, minutes(15), minutes(33))
    assert begin(schedule, fresh, minutes(33)) == [Start(minutes(30), 1)]


def test_a_run_is_overlapped_when_told_so(quarterly, fresh, minutes):
    schedule = quarterly(overlap=True)
    begin(schedule, fresh, minutes(15))

    assert begin(schedule, fresh, minutes(30)) == [Start(minutes(30), 1)]
    assert [each.due for each in fresh.unfinished] == [minutes(15), minutes(30)]


@pytest.mark.parametrize(
    ("missed", "begun", "left_out"),
    [
        # 12:15, 12:30, 12:45 and 13:00 lie behind at 13:10
        ("skip", [], LeftOut(15, 60, 4, ALONE)),
        ("once", [Start(60, 1)], LeftOut(15, 45, 3, ALONE)),
        ("all", [Start(15, 1)], None),
    ],
)
def test_missed_times_are_made_up_for_as_declared(
    quarterly, fresh, minutes, missed, begun, left_out
):
    made = plan(quarterly(missed=missed), fresh, minutes(70))

    assert list(made.starts) == [Start(minutes(due), number) for due, number in begun]
    if left_out:
        first, last, count, reason = left_out
        left_out = LeftOut(minutes(first), minutes(last), count, reason)
    assert made.left_out == left_out


def test_all_missed_times_are_made_up_for_one_after_another(quarterly, fresh, minutes):
    schedule = quarterly(missed="all")
    dues = []
    for _ in range(4):
        ((due, _),) = begin(schedule, fresh, minutes(70))
        assert begin(schedule, fresh, minutes(70)) == []
        end(schedule, fresh, due, minutes(70))
        dues.append(due)

    assert dues == [minutes(n) for n in (15, 30, 45, 60)]
    assert begin(schedule, fresh, minutes(70)) == []


def test_with_skip_a_time_within_the_last_minute_is_not_missed(quarterly, fresh, minutes):
    assert begin(quarterly(missed="skip"), fresh, minutes(16)) == [Start(minutes(15), 1)]


def test_what_a_long_run_left_no_room_for_is_told(quarterly, fresh, minutes):
    schedule = quarterly(missed="skip")
    begin(schedule, fresh, minutes(15))
    for now in (31.5, 46.5):
        begin(schedule, fresh, minutes(now))

    skipped = fresh.occurrences[-1]
    assert (skipped.outcome, skipped.reason) == ("skipped", BUSY)
    assert (skipped.first_due, skipped.due, skipped.count) == (minutes(30), minutes(45), 2)


def test_a_failed_run_is_tried_again_after_a_while_that_doubles(quarterly, fresh, minutes):
    schedule = quarterly(retries=2, backoff_s=60)
    begin(schedule, fresh, minutes(15))
    end(schedule, fresh, minutes(15), minutes(16), "failed")

    assert plan(schedule, fresh, minutes(16.9)).starts == ()
    assert plan(schedule, fresh, minutes(16.9)).next_at == minutes(17)
    assert begin(schedule, fresh, minutes(17)) == [Start(minutes(15), 2)]
    end(schedule, fresh, minutes(15), minutes(18), "timed_out")
    assert plan(schedule, fresh, minutes(19.9)).starts == ()
    assert begin(schedule, fresh, minutes(20)) == [Start(minutes(15), 3)]
    end(schedule, fresh, minutes(15), minutes(21), "killed")

    assert fresh.find(minutes(15)).outcome == "killed"
    assert begin(schedule, fresh, minutes(29)) == []


def test_the_next_time_waits_for_the_retry(quarterly, fresh, minutes):
    schedule = quarterly(retries=1, backoff_s=1800)
    begin(schedule, fresh, minutes(15))
    end(schedule, fresh, minutes(15), minutes(16), "failed")

    assert begin(schedule, fresh, minutes(30)) == []
    assert begin(schedule, fresh, minutes(46)) == [Start(minutes(15), 2)]


@pytest.mark.parametrize("status", ["succeeded", "refused"])
def test_no_second_try_where_it_would_change_nothing(quarterly, fresh, minutes, status):
    schedule = quarterly(retries=5)
    begin(schedule, fresh, minutes(15))
    end(schedule, fresh, minutes(15), minutes(16), status)

    assert fresh.find(minutes(15)).outcome == status
    assert begin(schedule, fresh, minutes(29)) == []


def test_a_paused_schedule_begins_nothing(quarterly, fresh, minutes):
    assert begin(quarterly(paused=True), fresh, minutes(70)) == []


def test_only_the_last_occurrences_are_kept_and_none_that_is_unfinished(quarterly, fresh, minutes):
    schedule = quarterly(overlap=True)
    begin(schedule, fresh, minutes(15))
    for number in range(2, 300):
        begin(schedule, fresh, minutes(15 * number))
        end(schedule, fresh, minutes(15 * number), minutes(15 * number))

    assert len(fresh.occurrences) == 200
    assert fresh.find(minutes(15)).is_running


def test_state_survives_json(quarterly, fresh, minutes):
    schedule = quarterly(retries=1)
    begin(schedule, fresh, minutes(50))
    end(schedule, fresh, minutes(45), minutes(51), "failed")

    assert State.from_json(fresh.as_json()) == fresh


def test_a_schedule_survives_json(quarterly):
    schedule = quarterly(parameters={"k": 5}, notify_command=("mail", "me"), timeout_s=5.0)

    assert Schedule.from_json(schedule.as_json()) == schedule


def after(length):
    """Every time that may wait waits so many minutes."""
    return lambda due: due + timedelta(minutes=length)


@pytest.fixture
def patient(quarterly):
    """A schedule whose times have so many minutes."""
    return lambda minutes, **options: quarterly(
        within_s=60 * minutes, tariff="/tariff.csv", **options
    )


def test_a_time_that_may_wait_begins_when_its_hour_comes(patient, fresh, minutes):
    schedule = patient(14)
    made = plan(schedule, fresh, minutes(16), begins=after(8))

    assert (made.starts, made.left_out, made.waits) == ((), None, minutes(15))
    assert made.next_at == minutes(23)
    assert begin(schedule, fresh, minutes(23), begins=after(8)) == [Start(minutes(15), 1)]
    assert begin(schedule, fresh, minutes(23), begins=after(8)) == []


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
def test_a_time_that_comes_while_one_waits_does_not_take_its_place(patient, fresh, minutes, missed):
    schedule = patient(60, missed=missed)
    for now in range(15, 55):
        assert begin(schedule, fresh, minutes(now), begins=after(40)) == []
    assert begin(schedule, fresh, minutes(55), begins=after(40)) == [Start(minutes(15), 1)]
    end(schedule, fresh, minutes(15), minutes(56))
    assert begin(schedule, fresh, minutes(71), begins=after(40)) == [Start(minutes(30), 1)]


def test_a_time_is_missed_when_it_can_no_longer_be_done(patient, fresh, minutes):
    # due at 15, 30 and 45 with 20 minutes each, of which a run takes 5; at 50 the first two are
    # over, for they had to begin by 30 and 45
    schedule = patient(20, takes_s=300)
    made = plan(schedule, fresh, minutes(50), begins=after(10))

    assert made.left_out == LeftOut(minutes(15), minutes(30), 2, ALONE)
    assert made.waits == minutes(45)
    # at 59.5 only that of 45 has time left
    assert begin(schedule, fresh, minutes(59.5), begins=after(10)) == [Start(minutes(45), 1)]


@pytest.mark.parametrize(("missed", "begun"), [("skip", []), ("once", [Start(30, 1)])])
def test_what_has_no_time_left_is_made_up_for_as_declared(patient, fresh, minutes, missed, begun):
    schedule = patient(10, missed=missed)

    assert begin(schedule, fresh, minutes(42), begins=lambda due: due) == [
        Start(minutes(due), number) for due, number in begun
    ]


def test_a_time_that_waits_is_not_begun_beside_one_that_runs(patient, fresh, minutes):
    schedule = patient(60)
    begin(schedule, fresh, minutes(15))
    made = plan(schedule, fresh, minutes(31), begins=after(5))

    assert (made.starts, made.waits) == ((), None)


STEPS = st.lists(
    st.tuples(st.floats(0, 3000), st.sampled_from(["", "succeeded", "failed", "killed"])),
    max_size=30,
)


@given(
    STEPS,
    st.sampled_from(["skip", "once", "all"]),
    st.integers(0, 2),
    st.sampled_from([None, (600, 5), (5000, 5), (5000, 70)]),
)
def test_no_history_begins_a_time_twice_or_overlaps_or_loses_one(steps, missed, retries, waits):
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    schedule = Schedule(
        name="s",
        notebook="n",
        times=Every(900),
        directory=".",
        runs="r",
        created_at=now,
        missed=missed,
        retries=retries,
        within_s=waits and waits[0],
        tariff="t.csv" if waits else "",
    )
    begins = after(waits[1] if waits else 0)
    state, begun = State(handled_until=now), []
    for seconds, status in steps:
        now += timedelta(seconds=seconds)
        for each in [each for each in state.occurrences if each.is_running and status]:
            end(schedule, state, each.due, now, status)
        begun += begin(schedule, state, now, begins=begins)
        assert len(state.unfinished) <= 1

    assert len(begun) == len(set(begun))
    first_tries = [due for due, number in begun if number == 1]
    assert first_tries == sorted(first_tries)
    # every time up to the last that was handled was begun or left out
    left_out = sum(each.count for each in state.occurrences if each.outcome == "skipped")
    expected = (state.handled_until - schedule.created_at) // timedelta(seconds=900)
    assert len(first_tries) + left_out == expected
