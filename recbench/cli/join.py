"""``recbench join``: exposures and actions in the lake to training examples."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recbench.cli.input import Duration
from recbench.cli.output import json_option, save_json
from recbench.cli.streams import plain_name, sole_holder, stopped_by_signals
from recbench.settings import workspace_path

if TYPE_CHECKING:
    from recbench.events.join_lake import JoinStep

__all__ = ["join"]

COUNTS = {
    "n_examples": "examples",
    "n_corrections": "corrections",
    "n_orphans": "actions without an exposure",
    "n_repeats": "exposures shown before",
    "n_too_late": "rows too late for any example",
}


@click.command()
@click.option("--stream", default="events", show_default=True, help="Holds the exposures.")
@click.option("--actions-stream", help="Holds the actions, if they come in a topic of their own.")
@click.option(
    "--label-window",
    type=Duration(),
    default="30m",
    show_default=True,
    help="How long after an exposure an action counts.",
)
@click.option(
    "--correction-window",
    type=Duration(),
    default="2h",
    show_default=True,
    help="How long late news still correct an example.",
)
@click.option("--every", type=Duration(), default="5s", show_default=True)
@click.option("--once", is_flag=True, help="Stop where the lake ends.")
@click.option(
    "--features/--no-features", default=True, help="Add the shipped features to the examples."
)
@json_option
def join(
    *,
    stream: str,
    actions_stream: str | None,
    label_window: timedelta,
    correction_window: timedelta,
    every: timedelta,
    once: bool,
    features: bool,
    json_path: Path | None,
) -> None:
    """Join what was shown with what was done, into <workspace>/lake/STREAM/examples.

    A click makes an example at once, an unclicked exposure when its label window is over; what
    changes later is a further revision. Exposures have a position, a propensity or served features,
    actions none of them; both carry a request_id.
    """
    from recbench.events.join_lake import join_step
    from recbench.events.shown import LabelWindows
    from recbench.features.shipped import SHIPPED_FEATURES
    from recbench.files import write_json
    from recbench.tables.lake import LakeTable

    lake = workspace_path() / "lake"
    folder = lake / plain_name("stream", stream)
    names = {stream: None, plain_name("actions-stream", actions_stream or stream): None}
    sources = [LakeTable(lake / name / "events", by_day=True) for name in names]
    windows = LabelWindows(label=label_window, correction=correction_window)
    total = dict.fromkeys(COUNTS, 0)
    with sole_holder(folder / "joiner.lock", what="A joiner"), stopped_by_signals() as stop:
        while True:
            step = join_step(
                sources,
                LakeTable(folder / "examples"),
                windows,
                features=SHIPPED_FEATURES if features else (),
            )
            total = {name: count + getattr(step, name) for name, count in total.items()}
            shown = total | {"watermark": step.watermark}
            write_json(folder / "joiner.json", shown)
            click.echo(_line(total, step))
            is_done = stop.is_set() if not step.is_last else once or _waited(stop, every)
            if is_done:
                break
    save_json(json_path, shown)


def _waited(stop: threading.Event, every: timedelta) -> bool:
    return stop.wait(every / timedelta(seconds=1))


def _line(total: dict[str, int], step: "JoinStep") -> str:
    watermark = f"{step.watermark:%Y-%m-%d %H:%M:%S}" if step.watermark else "none yet"
    counts = ", ".join(f"{total[name]:,} {what}" for name, what in COUNTS.items())
    return f"{counts}, watermark {watermark}"
