import itertools

import polars as pl
import pytest

from recbench.widgets import simulated


@pytest.fixture
def uplifts():
    rows = []
    for taste, item, delay in itertools.product((6.0, 24.0), (12.0, 48.0, 96.0), (0.0, 3600.0)):
        value = 6.0 / item
        names = ("click_rate", "watch_s")
        row = {"taste_half_life_h": taste, "item_half_life_h": item, "label_delay_s": delay}
        for name in names:
            row |= {name: value, f"{name}_low": value - 0.02, f"{name}_high": value + 0.02}
        rows.append(row)
    return pl.DataFrame(rows)


def texts(figure):
    found = [figure.get_suptitle()]
    for axes in figure.axes:
        found += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
    return found


def test_the_surface_has_a_panel_a_delay_and_both_contours(uplifts):
    figure = simulated.surface_figure(uplifts)
    panels = figure.axes[:2]

    assert [axes.get_title(loc="left") for axes in panels] == [
        "labels not late",
        "labels 60 min late",
    ]
    assert all(len(axes.collections) == 5 for axes in panels)  # the mesh and four contours
    assert figure.get_suptitle() == (
        "Simulated: 15-minute over daily refreshes change clicks by +6.2% to +50.0%; "
        "4 of 12 worlds reach the article's +17.3%"
    )


def test_every_figure_says_that_it_is_simulated(uplifts):
    tests = pl.DataFrame(
        {
            "seed": [0, 1],
            "metric": "click_rate",
            "true": [0.1, 0.2],
            "estimate": [0.05, 0.1],
            "low": [0.0, 0.0],
            "high": [0.1, 0.2],
            "design": "pooled",
        }
    )
    curves = pl.DataFrame(
        {"arm": "naive", "bin": [0, 1], "predicted": [0.1, 0.2], "true": [0.2, 0.4]}
    )
    compared = pl.DataFrame(
        {
            "cadence": ["never", "1 d"],
            "real": [-0.1, 0.0],
            "low": [-0.2, 0.0],
            "high": [0.0, 0.0],
            "simulated": [-0.3, 0.0],
            "simulated_low": [-0.4, 0.0],
            "simulated_high": [-0.2, 0.0],
            "inside": [False, None],
        }
    )
    for figure in (
        simulated.surface_figure(uplifts),
        simulated.interference_figure(tests),
        simulated.calibration_figure(curves),
        simulated.curves_figure(compared),
    ):
        assert any("imulated" in text for text in texts(figure))
    assert "0 of 1 gains within" in texts(figure)[1]
