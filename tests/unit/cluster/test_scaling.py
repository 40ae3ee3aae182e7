import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbench.cluster.scaling import ClusterState, DueWork, Hour, ScalingPolicy
from recbench.errors import InputError

PLAIN = ScalingPolicy(
    minimum=0, margin_s=100, safety=1.0, patience=1.0, later_margin_s=100, carbon_price=0.08
)


def state(*work, n_ready=0, n_busy=0, idle_s=(), hours=(), n_starting=0, startup_s=60.0):
    return ClusterState(
        n_ready=n_ready,
        n_starting=n_starting,
        n_busy=n_busy,
        idle_s=idle_s,
        work=work,
        startup_s=startup_s,
        hours=hours,
    )


works = st.builds(
    DueWork,
    work_s=st.floats(0, 1e6),
    due_s=st.floats(-1e4, 1e5),
    n_tasks=st.integers(0, 500),
    gang=st.integers(1, 16),
    may_wait=st.booleans(),
    has_begun=st.booleans(),
)
hours = st.builds(
    Hour,
    seconds=st.floats(1, 3600),
    price=st.floats(0, 10),
    carbon_g_per_kwh=st.floats(0, 1000),
    power_w=st.floats(0, 1000),
)


@st.composite
def states(draw):
    n_busy, idle_s = draw(st.integers(0, 80)), draw(st.lists(st.floats(0, 1e4), max_size=40))
    return ClusterState(
        n_ready=n_busy + len(idle_s),
        n_starting=draw(st.integers(0, 40)),
        n_busy=n_busy,
        idle_s=tuple(idle_s),
        work=tuple(draw(st.lists(works, max_size=8))),
        startup_s=draw(st.floats(0, 300)),
        hours=tuple(draw(st.lists(hours, max_size=6))),
    )


@given(states())
def test_a_busy_worker_is_never_taken_away(seen):
    assert ScalingPolicy().target(seen) >= seen.n_busy


@given(states())
def test_no_more_than_the_maximum_unless_they_are_busy(seen):
    policy = ScalingPolicy()

    assert policy.target(seen) <= max(policy.maximum, seen.n_busy)


@given(states(), works)
def test_more_work_never_wants_fewer_workers(seen, more):
    policy = ScalingPolicy(safety=1.0)
    grown = ClusterState(
        n_ready=seen.n_ready,
        n_starting=seen.n_starting,
        n_busy=seen.n_busy,
        idle_s=seen.idle_s,
        work=(*seen.work, more),
        startup_s=seen.startup_s,
        hours=seen.hours,
    )

    assert policy.target(grown) >= policy.target(seen)


def test_an_empty_cluster_keeps_its_minimum():
    assert ScalingPolicy(minimum=3).target(state()) == 3


def test_work_gets_as_many_workers_as_its_deadline_needs():
    # 1,600 worker-seconds within 900 - 100; new workers lose 60 of these 800: 1,600 / 740 = 2.2
    seen = state(DueWork(1600, 900, n_tasks=100))

    assert PLAIN.target(seen) == 3


def test_who_is_there_already_loses_no_start():
    # two workers have 800 seconds each
    seen = state(DueWork(1600, 900, n_tasks=100), n_ready=2, n_busy=2)

    assert PLAIN.target(seen) == 2


def test_urgent_work_counts_before_what_is_due_later():
    # by 300: 800 / 200 = 4 of those who are there; the later work alone would want 1
    seen = state(
        DueWork(800, 10_000, n_tasks=100),
        DueWork(800, 300, n_tasks=100),
        n_ready=10,
        n_busy=0,
        idle_s=(1e4,) * 10,
    )

    assert PLAIN.target(seen) == 4


def test_more_workers_than_pieces_do_not_help():
    assert PLAIN.target(state(DueWork(5000, 50, n_tasks=3))) == 3


def test_long_tasks_need_a_worker_each_where_two_do_not_fit_in_time():
    # each takes 500 of 800 seconds: no worker does two
    assert PLAIN.target(state(DueWork(2000, 900, n_tasks=4))) == 4


def test_a_gang_gets_all_of_its_workers():
    assert PLAIN.target(state(DueWork(8 * 60, 3600, n_tasks=1, gang=8))) == 8


def test_a_gang_gets_its_workers_beside_what_is_due_before_it():
    urgent = DueWork(1600, 900, n_tasks=100)  # three workers, as above
    gang = DueWork(8 * 60, 3600, n_tasks=1, gang=8)

    assert PLAIN.target(state(urgent, gang)) == 3 + 8
    assert PLAIN.target(state(urgent, gang._replace(has_begun=True))) == 8


def test_an_idle_worker_stays_for_as_long_as_its_restart_would_take():
    seen = state(n_ready=3, idle_s=(59, 60, 61), startup_s=60)

    assert PLAIN.target(seen) == 2


def test_what_may_wait_runs_in_the_cheap_hour():
    night = (Hour(3600, 1.0), Hour(3600, 0.5), Hour(3600, 1.0))
    rebuild = DueWork(3600, 3 * 3600, n_tasks=60, may_wait=True)
    now, later = state(rebuild, hours=night), state(rebuild, hours=night[1:])

    assert not PLAIN.runs_now(rebuild, now)
    assert PLAIN.target(now) == 0
    assert PLAIN.runs_now(rebuild, later)
    assert PLAIN.target(later) > 0


def test_what_may_wait_no_longer_runs_at_any_price():
    rebuild = DueWork(3600, 1800, n_tasks=60, may_wait=True)

    assert PLAIN.runs_now(rebuild, state(rebuild, hours=(Hour(3600, 9.0), Hour(3600, 1.0))))


def test_begun_work_is_not_put_off_for_a_little():
    hours = (Hour(3600, 1.0), Hour(3600, 0.98))
    fresh = DueWork(600, 7200, n_tasks=10, may_wait=True)
    begun = fresh._replace(has_begun=True)

    assert not PLAIN.runs_now(fresh, state(fresh, hours=hours))
    assert PLAIN.runs_now(begun, state(begun, hours=hours))


def test_carbon_decides_between_hours_of_one_price():
    hours = (Hour(3600, 1.0, 600), Hour(3600, 1.0, 100))
    rebuild = DueWork(600, 7200, n_tasks=10, may_wait=True)

    assert not PLAIN.runs_now(rebuild, state(rebuild, hours=hours))


def test_an_hour_without_power_is_not_planned_for():
    hours = (Hour(3600, 1.0), Hour(3600, 0.1, power_w=0.0))
    rebuild = DueWork(600, 7200, n_tasks=10, may_wait=True)

    assert PLAIN.runs_now(rebuild, state(rebuild, hours=hours))


def test_power_limits_the_workers_but_takes_no_busy_one():
    # 35 W are ten workers of 3.5 W
    hours = (Hour(3600, 1.0, power_w=35.0),)
    urgent = DueWork(1e5, 900, n_tasks=1000)

    assert PLAIN.target(state(urgent, hours=hours)) == 10
    assert PLAIN.target(state(urgent, hours=hours, n_ready=12, n_busy=12)) == 12


def test_late_work_gets_all_that_can_help():
    assert PLAIN.target(state(DueWork(100, -5, n_tasks=7))) == 7
    assert PLAIN.target(state(DueWork(100, -math.inf, n_tasks=700))) == PLAIN.maximum


@pytest.mark.parametrize(
    ("dials", "value"),
    [
        ({"margin_s": -1.0}, "`margin_s` must not be negative"),
        ({"minimum": 3, "maximum": 2}, "got 3 and 2"),
        ({"maximum": 1.5, "minimum": 1}, "whole number, got 1.5"),
        ({"most_for_later": 0}, "`most_for_later` must be positive"),
    ],
)
def test_dials_that_make_no_sense_are_refused(dials, value):
    with pytest.raises(InputError, match=value):
        ScalingPolicy(**dials)
