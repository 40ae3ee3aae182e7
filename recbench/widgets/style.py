"""One look for every figure: the same colour means the same thing everywhere."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "new_figure"]

# Okabe and Ito's palette, told apart by colour-blind readers, too
COLOURS = {
    "model": "#0072B2",
    "reference": "#D55E00",
    "other": "#999999",
    "highlight": "#009E73",
    "light": "#56B4E9",
}


def new_figure(title: str, *, width: float = 7.0, height: float = 3.6) -> "tuple[Figure, Axes]":
    """An empty figure, in inches, whose title states the finding."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes
