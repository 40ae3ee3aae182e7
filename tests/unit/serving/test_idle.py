"""Work beside the loop: waited for, given up, failed, and polite."""

import asyncio
import os
import sys
import threading
import weakref

import pytest

from recbench.serving.idle import POLITE, Helper, made_politely


@pytest.fixture
def helper():
    helper = Helper()
    yield helper
    helper.close()


def test_jobs_are_done_one_after_the_other_in_one_thread(helper):
    done = []

    async def wait():
        for number in range(2):
            await helper.do(lambda n=number: done.append((n, threading.current_thread().name)))

    asyncio.run(wait())
    assert done == [(0, "helper"), (1, "helper")]


def test_what_a_job_raises_is_raised_and_the_next_one_is_done(helper):
    def fails():
        raise ValueError("no release")

    async def wait():
        with pytest.raises(ValueError, match="no release"):
            await helper.do(fails)
        await helper.do(lambda: None)

    asyncio.run(wait())


def test_who_stops_waiting_does_not_disturb_the_work(helper):
    begun, go = threading.Event(), threading.Event()
    done = []

    def work():
        begun.set()
        go.wait(60)

    async def give_up():
        future = helper.do(work)
        await asyncio.to_thread(begun.wait, 60)
        future.cancel()
        go.set()
        await helper.do(lambda: done.append("next"))

    asyncio.run(give_up())
    assert done == ["next"]


def test_a_helper_that_is_closed_ends_and_holds_nothing_of_its_jobs():
    class Large:
        pass

    before = set(threading.enumerate())
    helper, held = Helper(), Large()
    gone = weakref.ref(held)
    (thread,) = set(threading.enumerate()) - before

    async def wait():
        nonlocal held
        await helper.do(lambda large=held: None)
        del held

    asyncio.run(wait())
    helper.close()
    thread.join(60)
    assert not thread.is_alive()
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are chosen on Linux only")
@pytest.mark.parametrize("is_urgent", [True, False])
def test_a_helper_keeps_to_the_core_of_who_made_it_only_where_it_is_urgent(monkeypatch, is_urgent):
    cores = os.sched_getaffinity(0)
    monkeypatch.setattr("recbench.serving.idle.be_urgent", lambda _: None)
    monkeypatch.setattr("recbench.serving.cores._allowed", cores)
    found = []

    async def wait():
        helper = Helper(is_urgent=is_urgent)
        await helper.do(lambda: found.append(os.sched_getaffinity(0)))
        helper.close()

    def on_one_core():
        os.sched_setaffinity(0, {min(cores)})
        asyncio.run(wait())

    bound = threading.Thread(target=on_one_core)
    bound.start()
    bound.join()
    assert found == [{min(cores)} if is_urgent else cores]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has nice values of threads")
def test_threads_of_what_is_made_politely_give_way_and_ours_do_not():
    def nice():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def make():
        found = []
        helper = threading.Thread(target=lambda: found.append(nice()))
        helper.start()
        helper.join()
        return found

    before = nice()
    assert made_politely(make) == [max(POLITE, before)]
    assert nice() == before


def test_what_making_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        made_politely(lambda: 1 / 0)
