"""Work in threads of its own: waited for, given up, failed, and polite."""

import asyncio
import os
import sys
import threading

import pytest

from recbench.serving.idle import POLITE, in_thread, made_politely


def test_the_future_ends_with_the_work():
    done = []

    async def wait():
        await in_thread(lambda: done.append(threading.current_thread().name), name="load")

    asyncio.run(wait())
    assert done == ["load"]


def test_what_the_work_raises_is_raised():
    def fails():
        raise ValueError("no release")

    async def wait():
        await in_thread(fails, name="load")

    with pytest.raises(ValueError, match="no release"):
        asyncio.run(wait())


def test_who_stops_waiting_does_not_disturb_the_work():
    begun, go = threading.Event(), threading.Event()
    failures = []

    def work():
        begun.set()
        go.wait(5)

    async def give_up():
        future = in_thread(work, name="load")
        await asyncio.to_thread(begun.wait, 5)
        future.cancel()

    before, threading.excepthook = threading.excepthook, lambda info: failures.append(info)
    try:
        asyncio.run(give_up())
        go.set()
        for thread in threading.enumerate():
            if thread.name == "load":
                thread.join(5)
    finally:
        threading.excepthook = before
    assert failures == []


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
