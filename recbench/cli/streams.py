"""What the commands that read and write topics share: the broker's options, and how they stop."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

__all__ = [
    "StatusShown",
    "broker_options",
    "count_or_unknown",
    "librdkafka_settings",
    "plain_name",
    "sole_holder",
    "stopped_by_signals",
]

LINES_APART = 10  # statuses for each line where lines do not move
PLAIN = re.compile(r"[\w.-]+")
GLANCE_S = 1.0  # whoever only looks whether there is a holder has the lock for a moment


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


def plain_name(what: str, name: str) -> str:
    """A name that is a file name and nothing more."""
    from recbench.errors import InputError

    if not PLAIN.fullmatch(name) or name.startswith("."):
        raise InputError(f"--{what} must be letters, digits, dots and dashes, got {name!r}")
    return name


@contextmanager
def sole_holder(path: Path, *, what: str) -> Iterator[None]:
    """Hold ``path`` as long as this process lives; a second holder is refused."""
    from recbench.errors import InputError
    from recbench.files import is_free

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as held:
        until = time.monotonic() + GLANCE_S
        while not is_free(held):
            if time.monotonic() > until:
                raise InputError(f"{what} is running already, and holds {path}")
            time.sleep(0.02)
        yield


def count_or_unknown(n: int | None) -> str:
    """``12,345``, or ``unknown``."""
    return "unknown" if n is None else f"{n:,}"


@dataclass(slots=True)
class StatusShown:
    """A status as a JSON file and as a line: a moving one in a terminal, now and then elsewhere."""

    path: Path
    line: Callable[[Any], str]
    about: dict[str, Any] = field(default_factory=dict)  # told in the file besides
    n_shown: int = 0

    def __call__(self, status: Any) -> None:
        """Show it; the status has ``to_json``."""
        from recbench.files import write_json

        write_json(self.path, self.about | {"pid": os.getpid()} | status.to_json())
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{self.line(status)}", err=True, nl=False)
        elif self.n_shown % LINES_APART == 0:
            click.echo(self.line(status), err=True)
        self.n_shown += 1

    def end(self, status: Any) -> None:
        """The last line, on standard output."""
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", err=True, nl=False)
        click.echo(self.line(status))
