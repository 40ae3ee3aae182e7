"""`recbench schedule run`: the process that carries schedules out."""

import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recbench.cli.streams import sole_holder, stopped_by_signals
from recbench.settings import workspace_path

if TYPE_CHECKING:
    from recbench.jobs.schedules.runner import Runner

__all__ = ["run"]

POLL_S = 0.5


@click.command()
@click.option("--once", is_flag=True, help="Do what is due now, wait for it, and end.")
@click.option(
    "--standby", is_flag=True, help="Wait while another process carries them out, then take over."
)
def run(*, once: bool, standby: bool) -> None:
    """Carry out the workspace's schedules until Ctrl-C.

    Ctrl-C begins nothing more and waits for what runs; a second one ends that, too. One process
    a workspace: a second is refused, or waits with --standby. Exit code with --once: 1 if a run
    ended badly.
    """
    from recbench.jobs.schedules.runner import Runner
    from recbench.jobs.schedules.store import ScheduleStore

    store = ScheduleStore.of(workspace_path())
    with stopped_by_signals() as stop, ExitStack() as held:
        _become_the_only_one(held, store.runner_lock, stop, waits=standby)
        until = datetime.now(UTC) if once else None
        runner = Runner(store, workspace=workspace_path(), until=until, say=_say)
        _say(f"carries out {len(store.names())} schedules in {store.folder}")
        try:
            _serve(runner, stop, once=once)
        finally:
            runner.stop()
    if once and runner.n_bad:
        click.get_current_context().exit(1)


def _serve(runner: "Runner", stop: threading.Event, *, once: bool) -> None:
    runner.step()
    while not stop.is_set() and (runner.is_busy or not once):
        stop.wait(POLL_S)
        runner.step(begins=not stop.is_set())
    asleep = threading.Event()
    while runner.is_busy:  # a second Ctrl-C interrupts
        asleep.wait(POLL_S)
        runner.step(begins=False)


def _become_the_only_one(
    held: ExitStack, lock: Path, stop: threading.Event, *, waits: bool
) -> None:
    from recbench.errors import InputError

    has_said = False
    while not stop.is_set():
        try:
            held.enter_context(sole_holder(lock, what="`recbench schedule run`"))
        except InputError:
            if not waits:
                raise
            if not has_said:
                _say("stands by: another process carries the schedules out")
            has_said = True
            stop.wait(POLL_S)
        else:
            return


def _say(line: str) -> None:
    click.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ} {line}")
