"""Work in threads of its own: waited for, given up, and failed."""

import asyncio
import threading

import pytest

from recbench.serving.idle import in_idle_thread, in_thread


def test_the_future_ends_with_the_work():
    done = []

    async def wait():
        await in_idle_thread(lambda: done.append(threading.current_thread().name), name="load")

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
