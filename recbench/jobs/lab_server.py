"""JupyterLab's server as a process that ends when it is told to."""

import asyncio

from tornado.ioloop import IOLoop

__all__ = ["let_go", "main"]

PATIENCE_S = 5.0  # for what is let go; a process that ends must not wait for a disk


def main() -> None:
    """Serve until a signal says so, with the command line's arguments; then leave nothing behind.

    Upstream stops its loop while answers are still being made. Threads that read files for one wait
    for its task to end, and Python waits for them at exit: the process would stay for ever.
    """
    from jupyterlab.labapp import LabApp

    LabApp.launch_instance()
    let_go()


def let_go() -> None:
    """End the tasks of this thread's loop, which has been stopped, and with them their threads."""
    IOLoop.current().run_sync(_cancel_others)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=PATIENCE_S)


if __name__ == "__main__":
    main()
