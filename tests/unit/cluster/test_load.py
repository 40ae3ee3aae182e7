"""A live scheduler's load as the plain data of the scaling policy, in figures worked by hand."""

from types import SimpleNamespace

from recbench.cluster.load import LoadWatch
from recbench.cluster.scaling import Hour


def scheduler(*, workers, groups=()):
    """As little of a scheduler as is looked at: tasks of each worker; (group, count, seconds)."""
    return SimpleNamespace(
        workers={name: SimpleNamespace(processing=tasks) for name, tasks in workers.items()},
        task_groups={
            name: SimpleNamespace(
                prefix=seconds,
                states={
                    "waiting": 0,
                    "queued": count,
                    "no-worker": 0,
                    "processing": 0,
                    "memory": 9,
                },
            )
            for name, count, seconds in groups
        },
        _get_prefix_duration=lambda prefix: prefix,
    )


def test_workers_are_busy_or_idle_since_they_were_first_seen_so():
    watch = LoadWatch()
    watch.state(scheduler(workers={"a": [], "b": [1]}), now=100.0)
    state = watch.state(scheduler(workers={"a": [], "b": []}), now=130.0)
    assert (state.n_ready, state.n_busy, state.n_starting) == (2, 0, 0)
    assert state.idle_s == (30.0, 0.0)
    again = watch.state(scheduler(workers={"a": [1], "b": []}), now=140.0)
    assert (again.n_busy, again.idle_s) == (1, (10.0,))


def test_work_is_due_a_deadline_after_it_was_first_seen():
    watch = LoadWatch(deadline_s=900.0)
    watch.state(scheduler(workers={}, groups=[("fit", 4, 2.5)]), now=100.0)
    state = watch.state(scheduler(workers={}, groups=[("fit", 3, 2.5), ("sum", 1, 7.0)]), now=160.0)
    fit, added = state.work
    assert (fit.work_s, fit.n_tasks, fit.due_s) == (3 * 2.5, 3, 900.0 - 60.0)
    assert (added.work_s, added.n_tasks, added.due_s) == (7.0, 1, 900.0)


def test_what_is_done_is_no_work():
    assert LoadWatch().state(scheduler(workers={}, groups=[("fit", 0, 2.5)]), now=0.0).work == ()


def test_workers_that_were_asked_for_are_starting_and_their_start_is_measured():
    watch = LoadWatch()
    watch.state(scheduler(workers={"a": []}), now=0.0)
    watch.asked_for(3, now=10.0)
    assert watch.state(scheduler(workers={"a": []}), now=11.0).n_starting == 2
    watch.arrived(n_workers=2, now=30.0)
    # 10 s were assumed, 20 s it took: 10 + .3 x 10
    assert watch.state(scheduler(workers={"a": [], "b": []}), now=31.0).startup_s == 13.0
    watch.arrived(n_workers=3, now=33.0)  # 23 s: 13 + .3 x 10
    watch.arrived(n_workers=3, now=500.0)  # comes back after a failure: nobody waited for it
    assert watch.state(scheduler(workers={}), now=501.0).startup_s == 16.0


def test_what_arrives_is_work_of_the_last_quarter_of_an_hour():
    watch = LoadWatch()
    first = watch.state(scheduler(workers={}, groups=[("fit", 81, 10.0)]), now=0.0)
    # nine tasks are done: 90 of 10 s each in 900 s keep one worker busy
    assert first.arriving == 1.0
    more = watch.state(scheduler(workers={}, groups=[("fit", 171, 10.0)]), now=600.0)
    assert more.arriving == 2.0  # 90 further ones
    later = watch.state(scheduler(workers={}, groups=[("fit", 0, 10.0)]), now=901.0)
    assert later.arriving == 1.0  # the first ones came too long ago


def test_hours_are_asked_anew_each_time():
    told = iter([(Hour(60.0, 0.2),), (Hour(3600.0, 0.1),)])
    watch = LoadWatch(hours=lambda: next(told))
    assert watch.state(scheduler(workers={}), now=0.0).hours == (Hour(60.0, 0.2),)
    assert watch.state(scheduler(workers={}), now=60.0).hours == (Hour(3600.0, 0.1),)
