"""What a widget shows, as HTML: tables, figures as pictures, sentences; needs no kernel to read."""

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from recbench.widgets.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Page", "Part", "as_html"]


@dataclass(frozen=True, slots=True)
class Page:
    """A whole HTML page, such as a run's report, within the one that shows it; its scripts rest."""

    title: str
    html: str


Part = Union[str, Table, Page, "Figure"]  # the figure's class is imported where it is made


def as_html(parts: Iterable[Part]) -> str:
    """The parts one below the other, figures embedded; sentences are escaped."""
    inner = "\n".join(_one(part) for part in parts)
    return f'<div style="line-height:1.4">{inner}</div>'


def _one(part: Part) -> str:
    if isinstance(part, str):
        return f"<p>{html.escape(part)}</p>"
    if isinstance(part, Table):
        return part._repr_html_()
    if isinstance(part, Page):
        style = "width:100%;height:40em;border:0;background:white"
        held = f'title="{html.escape(part.title)}" srcdoc="{html.escape(part.html)}"'
        return f'<iframe sandbox style="{style}" {held}></iframe>'
    from recbench.widgets.picture import as_picture

    return as_picture(part)
