"""A figure that is shown as a picture: with its finding in words, and as dark as the page."""

import base64
import html
import io
from typing import Any

from matplotlib.figure import Figure

__all__ = ["FindingFigure", "as_picture"]

# White turns into the lab's dark grey, ink into light grey, and each hue stays what it was. Where a
# style sheet does not come through, the picture stays black on white, which can be read anywhere.
STYLE = """<style>
img.rb-figure { max-width: 100%; height: auto; }
[data-jp-theme-light="false"] img.rb-figure { filter: invert(0.93) hue-rotate(180deg); }
</style>"""


class FindingFigure(Figure):
    """Shows itself in notebooks and reports without pyplot; its titles are its alternative text."""

    def finding(self) -> str:
        """What the titles say."""
        return _finding(self)

    def _repr_mimebundle_(self, **_more: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """For pages that know themes, for those that do not, and for terminals."""
        finding, coded = self.finding(), _coded(self)
        pictures = {"text/html": _html(finding, coded), "image/png": coded}
        return pictures | {"text/plain": finding}, {"image/png": {"alt": finding}}


def as_picture(figure: Figure) -> str:
    """The figure as HTML, embedded; its titles are the alternative text."""
    return _html(_finding(figure), _coded(figure))


def _finding(figure: Figure) -> str:
    titles = [figure.get_suptitle(), *(axes.get_title(loc="left") for axes in figure.axes)]
    return "; ".join(title for title in titles if title)


def _coded(figure: Figure) -> str:
    held = io.BytesIO()
    figure.savefig(held, format="png")
    return base64.b64encode(held.getvalue()).decode()


def _html(finding: str, coded: str) -> str:
    source = f"data:image/png;base64,{coded}"
    return f'{STYLE}<img class="rb-figure" alt="{html.escape(finding)}" src="{source}">'
