import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench.cluster.clairvoyant import least_cost
from recbench.cluster.load_trace import Job, LoadTrace, day_of_load
from recbench.cluster.rivals import DaskRule, Fixed, Reactive
from recbench.cluster.scaling import ScalingPolicy
from recbench.cluster.simulate import Machine, simulate

SLOT_S = 3600.0  # of the tiny days: a slot is an hour


def tiny(jobs, prices):
    return LoadTrace(
        name="tiny",
        jobs=tuple(sorted(jobs, key=lambda job: job.arrival_s)),
        prices=prices,
        carbon_g_per_kwh=prices,
        said_prices=prices,
        said_carbon=prices,
    )


def job(come, due, hours):
    return Job(f"due after {due - come}", come * SLOT_S, due * SLOT_S, (hours * SLOT_S,))


def brute_force(trace, *, startup_s, most):
    """The least over every number of whole workers in every slot that does all work in time.

    Within a slot's hour the work of any job can be shared among its workers; the earliest deadline
    goes first, which is best on one kind of worker.
    """
    n = math.ceil(trace.end_s / SLOT_S)
    best = math.inf
    for workers in itertools.product(range(most + 1), repeat=n):
        left = {each: each.work_s for each in trace.jobs}
        for slot, count in enumerate(workers):
            room = count * SLOT_S
            for each in sorted(left, key=lambda one: one.due_s):
                if each.arrival_s <= slot * SLOT_S and each.due_s > slot * SLOT_S:
                    done = min(room, left[each])
                    left[each] -= done
                    room -= done
        if max(left.values()) > 1e-6:
            continue
        starts = sum(max(0, b - a) for a, b in itertools.pairwise((0, *workers)))
        paid = sum(count * price for count, price in zip(workers, trace.prices, strict=True))
        best = min(best, paid + starts * startup_s / 3600 * min(trace.prices[:n]))
    return best


@st.composite
def tiny_days(draw):
    n = draw(st.integers(1, 4))
    found = []
    for number in range(draw(st.integers(1, 3))):
        come = draw(st.integers(0, n - 1))
        due = draw(st.integers(come + 1, n))
        found.append(
            Job(str(number), come * SLOT_S, due * SLOT_S, (draw(st.integers(1, 5)) / 2 * SLOT_S,))
        )
    last = max(int(each.due_s / SLOT_S) for each in found)
    return tiny(found, tuple(draw(st.sampled_from([1.0, 2.0, 5.0])) for _ in range(last)))


@settings(max_examples=40, deadline=None)
@given(tiny_days(), st.sampled_from([0.0, 900.0]))
def test_it_is_never_above_the_best_of_all_whole_schedules(trace, startup_s):
    bound = least_cost(trace, startup_s=startup_s, slot_s=SLOT_S)

    assert bound <= brute_force(trace, startup_s=startup_s, most=8) + 1e-6


@pytest.mark.parametrize(
    ("jobs", "prices"),
    [
        ([job(0, 1, 2)], (1.0,)),
        ([job(0, 3, 3)], (5.0, 1.0, 2.0)),  # all of it in the cheap hour, if a start is cheap
        ([job(0, 1, 2), job(0, 3, 2), job(2, 3, 2)], (1.0, 1.0, 1.0)),
        ([job(0, 2, 2), job(1, 4, 4)], (1.0, 3.0, 2.0, 1.0)),
    ],
)
def test_it_is_the_best_whole_schedule_where_that_is_not_broken_up(jobs, prices):
    trace = tiny(jobs, prices)
    bound = least_cost(trace, startup_s=360.0, slot_s=SLOT_S)

    assert bound == pytest.approx(brute_force(trace, startup_s=360.0, most=5))


def test_by_hand():
    # two hours of work within one slot: two workers for an hour at 3, and two starts of 6 minutes
    assert least_cost(
        tiny([job(0, 1, 2)], (3.0,)), startup_s=360.0, slot_s=SLOT_S
    ) == pytest.approx(2 * 3 + 2 * 0.1 * 3)


@pytest.mark.parametrize("policy", [Fixed(24), Reactive(1.0), DaskRule(60), ScalingPolicy()])
def test_no_policy_that_misses_nothing_is_cheaper(policy):
    trace, machine = day_of_load(4, peak_workers=8), Machine()
    outcome = simulate(trace, policy, machine)

    assert outcome.n_missed == 0
    assert outcome.cost > least_cost(trace, startup_s=machine.least_startup_s)


def test_shorter_slots_bound_more_tightly():
    trace = day_of_load(4, peak_workers=8)
    coarse, fine = (least_cost(trace, startup_s=57.0, slot_s=slot_s) for slot_s in (900.0, 300.0))

    assert coarse <= fine
