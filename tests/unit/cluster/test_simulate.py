import dataclasses
import math

import pytest

from recbench.cluster.load_trace import Job, LoadTrace, day_of_load
from recbench.cluster.rivals import DaskRule, Fixed, Reactive, best_static
from recbench.cluster.scaling import ScalingPolicy
from recbench.cluster.simulate import Machine, simulate
from recbench.errors import InputError

EXACT = Machine(startup_s=60, startup_spread=0, idle_w=1000, busy_w=3000, poll_s=10)


def trace(*jobs, prices=(3.6, 3.6), **more):
    return LoadTrace(
        name="by hand",
        jobs=jobs,
        prices=prices,
        carbon_g_per_kwh=(100.0,) * len(prices),
        said_prices=prices,
        said_carbon=(100.0,) * len(prices),
        **more,
    )


def test_one_task_by_hand():
    # a worker is asked for at 0, is there at 60, and works until 160; then it stays until 1000
    outcome = simulate(trace(Job("a", 5, 1000, (100.0,))), Fixed(1), EXACT)

    assert outcome.n_missed == 0
    assert (outcome.paid_s, outcome.busy_s) == (1000, 100)
    assert outcome.cost == pytest.approx(1.0)  # 1000 s at 3.6 an hour
    assert outcome.kwh == pytest.approx((1000 * 1000 + 100 * 2000) / 3.6e6)
    assert outcome.carbon_kg == pytest.approx(outcome.kwh * 0.1)


def test_money_is_paid_by_the_price_of_the_hour():
    # 3,600 s at 1 an hour, 1,800 s at 2 an hour
    outcome = simulate(trace(Job("a", 0, 5400, (1.0,)), prices=(1.0, 2.0)), Fixed(1), EXACT)

    assert outcome.cost == pytest.approx(2.0)


def test_what_is_not_done_when_it_is_due_is_missed():
    late, never = Job("a", 0, 100, (100.0,)), Job("b", 0, 500, (1000.0,))

    assert simulate(trace(late, never), Fixed(2), EXACT).n_missed == 2


def test_the_earliest_deadline_goes_first():
    # one worker, ready at 60: the urgent one ends at 160, the other at 260
    jobs = (Job("a", 0, 270, (100.0,)), Job("a", 1, 170, (100.0,)))

    assert simulate(trace(*jobs), Fixed(1), EXACT).n_missed == 0


def test_a_gang_waits_for_all_of_its_workers():
    gang = Job("train", 0, 1000, (100.0,), gang=3)

    assert simulate(trace(gang), Fixed(2), EXACT).n_missed == 1
    enough = simulate(trace(gang), Fixed(3), EXACT)
    assert (enough.n_missed, enough.busy_s) == (0, 300)


def test_a_task_whose_worker_is_taken_back_begins_anew():
    # at 100 the only worker is lost, 40 s into the task; polled at 100, the next is there at 160
    outcome = simulate(trace(Job("a", 0, 261, (100.0,)), reclaims=((99.0, 1.0),)), Fixed(1), EXACT)

    assert (outcome.n_missed, outcome.starts, outcome.lost_s) == (0, 2, 39)


def test_a_gang_goes_on_from_its_checkpoint():
    # lost at 190, 130 s in: two checkpoints of 60 s are kept, 10 s of two workers are lost
    gang = Job("train", 0, 400, (200.0,), gang=2)
    outcome = simulate(trace(gang, reclaims=((190.0, 1.0),)), Fixed(2), EXACT)

    assert (outcome.n_missed, outcome.lost_s) == (0, 20)


def test_workers_that_fail_are_replaced_and_paid_for():
    jobs = [Job("a", 0, 7200, (100.0,) * 50)]
    outcome = simulate(trace(*jobs, life_h=0.2), Fixed(4), EXACT)

    assert outcome.starts > 4
    assert outcome.n_missed == 0


class Wavers:
    def __init__(self):
        self.asked = 0

    def target(self, state):
        """Wants workers and wants them away, in turns, whatever they do."""
        self.asked += 1
        return 0 if self.asked % 2 else 4

    def runs_now(self, work, state):
        return True


def test_a_policy_that_wants_busy_workers_away_gets_them_after_their_task():
    outcome = simulate(trace(Job("a", 0, 3600, (100.0,) * 8)), Wavers(), Machine(startup_s=1))

    assert outcome.lost_s == 0
    assert outcome.busy_s >= 100 * 4


@pytest.mark.parametrize("policy", [Fixed(64), Reactive(0.3), DaskRule(300), ScalingPolicy()])
def test_a_day_adds_up(policy):
    day = day_of_load(3, peak_workers=8)
    outcome = simulate(day, policy)

    work_s = sum(job.work_s for job in day.jobs)
    assert outcome.n_missed < 0.02 * outcome.n_jobs
    assert outcome.busy_s == pytest.approx(work_s + outcome.lost_s, rel=0.01)
    assert outcome.paid_s > outcome.busy_s
    assert min(day.prices) < 3600 * outcome.cost / outcome.paid_s < max(day.prices)


def test_the_same_seed_gives_the_same_day_and_the_same_outcome():
    one, two = (simulate(day_of_load(5, peak_workers=4), ScalingPolicy()) for _ in range(2))

    assert one == two
    assert day_of_load(5).jobs != day_of_load(6).jobs


def test_ours_closes_no_busy_worker():
    # the simulation would count it: a worker that is wanted away leaves after its task
    day = dataclasses.replace(day_of_load(1, peak_workers=8), reclaims=(), life_h=math.inf)
    asked = []

    class Watched(ScalingPolicy):
        def target(self, state):
            asked.append((ScalingPolicy.target(self, state), state.n_busy))
            return asked[-1][0]

    assert simulate(day, Watched()).lost_s == 0
    assert all(target >= n_busy for target, n_busy in asked)


def test_the_best_static_size_is_the_smallest_that_serves():
    # workers are there after 60 s; a thousand seconds of work by 320 s take 3.8 of them, and whole
    # tasks of a hundred seconds five: two each
    day = trace(Job("a", 0, 320, (100.0,) * 10), Job("a", 1, 330, (100.0,)))
    machine = dataclasses.replace(EXACT, most=20)

    assert best_static(day, machine)[0] == 6
    assert best_static(day, machine)[1] == simulate(day, Fixed(6), machine)
    assert simulate(day, Fixed(5), machine).n_missed == 1


def test_where_no_size_serves_the_smallest_of_the_least_bad_is_taken():
    hopeless = trace(Job("a", 0, 100, (100.0,)), Job("a", 0, 500, (100.0,)))

    assert best_static(hopeless, dataclasses.replace(EXACT, most=8))[0] == 1


def test_a_rebuild_is_put_off_to_the_cheap_hour():
    rebuild = Job("rebuild", 0, 10_000, (100.0,) * 9, may_wait=True)
    day = trace(rebuild, prices=(9.0, 1.0, 9.0))
    ours = simulate(day, ScalingPolicy(minimum=0), EXACT)
    at_once = simulate(day, DaskRule(300, minimum=0), EXACT)

    assert ours.n_missed == at_once.n_missed == 0
    assert ours.cost < at_once.cost / 3


@pytest.mark.parametrize(
    ("more", "value"),
    [
        ({"jobs": (Job("a", 0, 9000, (1.0,)),)}, "2 hours of prices end before 9000 s"),
        ({"jobs": (Job("a", 9, 9, (1.0,)),)}, "due_s=9"),
        ({"said_prices": (1.0,)}, "the same 2 hours"),
    ],
)
def test_a_trace_that_contradicts_itself_is_refused(more, value):
    with pytest.raises(InputError, match=value):
        dataclasses.replace(trace(), **more)
