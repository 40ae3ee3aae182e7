import polars as pl

from recbench.widgets.policy import exposure_figure, regret_figure, truth_figure


def test_figure_of_truths_counts_intervals_and_what_cannot_be_told():
    table = pl.DataFrame(
        {
            "policy": ["a", "b", "c"],
            "estimator": ["dr"] * 3,
            "value": [0.2, 0.3, None],
            "bootstrap_low": [0.1, 0.28, None],
            "bootstrap_high": [0.3, 0.32, None],
            "bernstein_low": [0.0, 0.2, None],
            "bernstein_high": [0.4, 0.4, None],
            "truth": [0.25, 0.4, 0.5],
        }
    )
    title = truth_figure(table).axes[0].get_title(loc="left")
    assert title == "1 of 2 intervals hold the truth; 1 of 3 policies cannot be told (simulated)"


def test_figure_of_regret_names_what_the_best_arm_loses():
    regret = pl.DataFrame(
        {"hour": [49.0, 50.0] * 2, "arm": ["x", "x", "y", "y"], "regret": [1.0, 1234.0, 0.0, 0.0]}
    )
    figure = regret_figure(regret, best="x", other="y")
    title = figure.axes[0].get_title(loc="left")
    assert title == "x has lost 1,234 clicks by hour 50, y 0 (simulated)"
    assert len(figure.axes[0].lines) == 2


def test_figure_of_exposure_has_new_items_last():
    exposure = pl.DataFrame(
        {"decile": [0, 1, 2] * 2, "arm": ["x"] * 3 + ["y"] * 3, "share": [0.1, 0.7, 0.2] * 2}
    )
    axes = exposure_figure(exposure, arms=["x", "y"]).axes[0]
    assert axes.get_title(loc="left") == "x: 70% of slots go to the first decile (simulated)"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "new"]
