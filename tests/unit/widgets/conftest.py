"""What tests of figures share."""

import pytest


@pytest.fixture
def drawn(tmp_path):
    """Draws the figure for real and gives its only axes."""

    def draw(figure):
        figure.savefig(tmp_path / "figure.png")
        (axes,) = figure.axes
        return axes

    return draw
