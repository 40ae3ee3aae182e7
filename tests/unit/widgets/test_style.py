"""Figures can be read: by everybody, on light and dark pages, without seeing them."""

import re

import pytest

from recbench.widgets.picture import as_picture
from recbench.widgets.style import COLOURS, INK, LINES, look, new_figure

WHITE = (1.0, 1.0, 1.0)
# what CSS's hue-rotate(180deg) makes of red, green and blue (Filter Effects, 8.5): twice the
# luminance, less the colour
LUMINANCE = (0.213, 0.715, 0.072)
INVERTED = 0.93
# how people without red, green or blue cones see linear RGB (Machado et al., 2009, severity 1)
CONES = {
    "red": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "green": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "blue": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}


def parts(colour):
    """Red, green and blue in [0, 1]."""
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))


def linear(rgb):
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]


def contrast(one, other):
    """WCAG 2's, from 1 to 21."""
    light, dark = sorted(
        (
            sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear(rgb), strict=True))
            for rgb in (one, other)
        ),
        reverse=True,
    )
    return (light + 0.05) / (dark + 0.05)


def on_dark(rgb):
    """What the filter of dark pages makes of a colour."""
    turned = [v * (1 - 2 * INVERTED) + INVERTED for v in rgb]
    grey = sum(w * v for w, v in zip(LUMINANCE, turned, strict=True))
    return tuple(min(1.0, max(0.0, 2 * grey - v)) for v in turned)


@pytest.mark.parametrize("page", [lambda rgb: rgb, on_dark], ids=["light", "dark"])
def test_texts_and_marks_have_enough_contrast_on_either_page(page):
    assert contrast(page(parts(INK)), page(WHITE)) > 4.5
    marks = {name: parts(colour) for name, colour in COLOURS.items() if name != "light"}
    poor = {name: contrast(page(rgb), page(WHITE)) for name, rgb in marks.items()}
    assert {name: ratio for name, ratio in poor.items() if ratio < 3} == {}


@pytest.mark.parametrize("missing", CONES)
def test_the_colours_of_model_and_reference_differ_without_any_kind_of_cone(missing):
    model, reference = (
        [
            sum(w * v for w, v in zip(row, linear(parts(COLOURS[name])), strict=True))
            for row in CONES[missing]
        ]
        for name in ("model", "reference")
    )
    # of at most 1 each; a tenth is a change of hue that nobody overlooks
    assert max(abs(a - b) for a, b in zip(model, reference, strict=True)) > 0.1


def test_lines_differ_in_their_dashes_too():
    assert len({colour for colour, _ in LINES}) == len({dash for _, dash in LINES}) == len(LINES)


def test_more_lines_than_colours_differ_too():
    assert [look(number) for number in range(5)] == list(LINES)
    assert len({look(number) for number in range(25)}) == 25


def test_a_figure_tells_its_finding_where_it_cannot_be_seen():
    figure, _ = new_figure("A < B")
    shown, more = figure._repr_mimebundle_()
    assert shown["text/plain"] == more["image/png"]["alt"] == "A < B"
    assert 'alt="A &lt; B"' in shown["text/html"] == as_picture(figure)
    assert shown["image/png"] in shown["text/html"]


def test_a_dark_page_turns_the_picture_as_far_as_its_background():
    (turned,) = re.findall(
        r"invert\(([\d.]+)\) hue-rotate\(180deg\)", as_picture(new_figure("")[0])
    )
    assert float(turned) == INVERTED
    # JupyterLab's dark page is #111111
    assert contrast(on_dark(WHITE), parts("#111111")) < 1.05
