"""What runs by the clock: every schedule's next time and past runs, wherever it was made."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import polars as pl

from recbench.errors import InputError
from recbench.jobs.schedules.listing import HERE, IN_LAB, every_schedule, one_schedule
from recbench.jobs.schedules.store import ScheduleStore
from recbench.widgets.live.panel import Panel
from recbench.widgets.shown import Part
from recbench.widgets.tables import Table

__all__ = ["schedule_panel"]

EVERY = "every schedule"
N_PAST = 20  # latest attempts that are shown
NOTHING = (
    "There are no schedules. In a terminal `recbench schedule add NOTEBOOK --every 15m` makes one, "
    "and `recbench schedule run` carries it out, without a lab; here a notebook's menu does."
)


def schedule_panel(workspace: Path) -> Panel:
    """A dial for one schedule or all of them, and a button that looks again.

    JupyterLab's own list, *Notebook Jobs*, has only those that were made in its forms.

    Args:
        workspace: the folder of schedules, and of the lab's jobs.
    """

    def show(name: str) -> Iterator[Part]:
        if name == EVERY:
            yield from _every(workspace)
        else:
            says, past = one_schedule(name, workspace)
            yield Table(pl.DataFrame([{"says": key, "value": str(says[key])} for key in says]))
            yield from _past(past)

    dial = ipywidgets.Dropdown(options=_names(workspace), value=EVERY, description="schedule")
    again = ipywidgets.Button(description="Look again", icon="refresh")
    panel = Panel("schedules", {"name": dial}, show, buttons=[again])

    def look_again(_button: Any) -> None:
        chosen, names = dial.value, _names(workspace)
        dial.options = names
        dial.value = chosen if chosen in names else EVERY
        panel.look_again()

    again.on_click(look_again)
    return panel


def _names(workspace: Path) -> list[str]:
    try:
        rows = every_schedule(workspace)
    except InputError:  # told where the table would be
        rows = []
    return [EVERY, *dict.fromkeys(row["name"] for row in rows)]


def _every(workspace: Path) -> Iterator[Part]:
    rows = every_schedule(workspace)
    if not rows:
        yield NOTHING
        return
    yield Table(pl.DataFrame(rows, infer_schema_length=None))
    made_in = {row["made_in"] for row in rows}
    if HERE in made_in and not ScheduleStore.of(workspace).has_runner():
        yield f"Nobody carries those of {HERE} out now; `recbench schedule run` does."
    if IN_LAB in made_in:
        yield f"Those of {IN_LAB} run while this lab does."


def _past(past: list[dict[str, Any]]) -> Iterator[Part]:
    if past:
        yield "Past runs, the latest first:"
        yield Table(pl.DataFrame(past[::-1][:N_PAST], infer_schema_length=None))
    else:
        yield "It has not run yet."
