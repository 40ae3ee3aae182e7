"""One look for every figure: the same colour means the same thing everywhere."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "INK",
    "LINES",
    "count_in_ones",
    "legend_below",
    "look",
    "new_figure",
    "write_plainly",
]

INK = "#222222"  # of what is written
# Okabe and Ito's palette, told apart by colour-blind readers, too; its grey is darker here, so that
# every line and mark has a contrast of 3 to the page. "light" is for areas only.
COLOURS = {
    "model": "#0072B2",
    "reference": "#D55E00",
    "other": "#767676",
    "highlight": "#009E73",
    "more": "#CC79A7",
    "light": "#56B4E9",
}
# colours and dashes of lines that only their legend names
LINES = tuple(
    (COLOURS[name], dash)
    for name, dash in (
        ("model", "-"),
        ("reference", "--"),
        ("highlight", "-."),
        ("more", ":"),
        ("other", (0, (5, 1))),
    )
)


def new_figure(title: str, *, width: float = 7.0, height: float = 3.6) -> "tuple[Figure, Axes]":
    """An empty figure, in inches, whose title states the finding; long ones take two lines."""
    from recbench.widgets.picture import FindingFigure

    figure = FindingFigure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=INK, wrap=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def look(number: int) -> tuple[str, str | tuple[int, tuple[int, ...]]]:
    """Colour and dash of the line of that number, from 0; 25 differ."""
    n = len(LINES)
    return LINES[number % n][0], LINES[(number + number // n) % n][1]


def legend_below(figure: "Figure", *, ncols: int = 3) -> None:
    """What the marks mean, below the axes: it hides none of them."""
    figure.legend(frameon=False, loc="outside lower left", ncols=ncols, fontsize="small")


def count_in_ones(axis: "Axis") -> None:
    """Ticks at whole numbers only: there is no step 2.5."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def write_plainly(axis: "Axis") -> None:
    """Numbers of a logarithmic axis as people write them: 0.5, 20, 100,000."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:,.12g}"))
    axis.set_minor_formatter(NullFormatter())
