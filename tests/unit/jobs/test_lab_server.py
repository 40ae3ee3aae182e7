import asyncio
import threading

import pytest

pytest.importorskip("tornado", reason="needs the extra `lab`")

PATIENCE_S = 60


@pytest.fixture
def loop():
    own = asyncio.new_event_loop()
    asyncio.set_event_loop(own)
    yield own
    asyncio.set_event_loop(None)
    own.close()


def test_a_server_that_ends_keeps_no_thread_of_an_answer_that_was_being_made(loop):
    from anyio.to_thread import run_sync

    from recbench.jobs.lab_server import let_go

    reading = []

    async def answer():
        await run_sync(lambda: reading.append(threading.current_thread()))
        loop.stop()  # as a signal does
        await asyncio.Event().wait()

    held = loop.create_task(answer())
    loop.run_forever()
    (thread,) = reading
    assert thread.is_alive()

    let_go()

    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert held.cancelled()
