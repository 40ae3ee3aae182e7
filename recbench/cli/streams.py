"""What the commands that read and write topics share: the broker's options, and how they stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

__all__ = ["broker_options", "librdkafka_settings", "stopped_by_signals"]


def broker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where the broker is: ``bootstrap_servers`` and ``-X``."""
    command = click.option(
        "-X",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        help="A setting of librdkafka, such as security.protocol=SASL_SSL.",
    )(command)
    return click.option(
        "--bootstrap-servers",
        metavar="HOST:PORT",
        help="The broker; without it one runs in the workspace, on loopback and in memory.",
    )(command)


def librdkafka_settings(assignments: tuple[str, ...]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a dictionary."""
    wrong = [one for one in assignments if not one.partition("=")[2]]
    if wrong:
        raise click.BadParameter(f"-X takes KEY=VALUE, got {wrong[0]!r}")
    return {key: value for key, _, value in (one.partition("=") for one in assignments)}


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C interrupts at once."""
    stop = threading.Event()

    def ask(number: int, _: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if number == signal.SIGINT:
            click.echo("\nFinishing what was begun; Ctrl-C again stops at once", err=True)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
