"""Every figure of the package says what it found, and what its axes count in which unit."""

import json
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from matplotlib.category import StrCategoryFormatter
from matplotlib.colors import to_hex
from matplotlib.ticker import FixedFormatter, FuncFormatter

from recbench.features.definitions import WindowFeature
from recbench.jobs.runs import Run
from recbench.refresh import Registry
from recbench.tables import shape
from recbench.widgets import (
    benchmark,
    events,
    features,
    freshness,
    freshness_curve,
    policy,
    recommendations,
    refresh,
    runs,
    scaling,
    search,
    serving,
    simulated,
    sweep,
    training,
    way,
)
from recbench.widgets.picture import FindingFigure
from recbench.widgets.style import COLOURS, INK
from recbench.widgets.workspace import Overview

MODULES = (
    *(benchmark, events, features, freshness, freshness_curve, policy, recommendations, refresh),
    *(runs, scaling, search, serving, simulated, sweep, training, way),
)
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = WindowFeature(
    name="user_clicks_1h",
    entity="user_id",
    aggregation="count",
    value=None,
    window=timedelta(hours=1),
)
NAMED = (FixedFormatter, FuncFormatter, StrCategoryFormatter)
UNIT = re.compile(
    r"%|\b(ms|seconds|minutes|hours?|days?|UTC|share|chance|logits|loss|ndcg@20|money|kilograms"
    r"|events|items|clicks|steps?|trial|window|release|refresh|workers|value|learning rate|seed)\b"
)
TRIALS = pl.DataFrame(
    {
        "number": [0, 1, 2],
        "state": ["complete", "pruned", "complete"],
        "value": [0.1, None, 0.3],
        "learning_rate": [1e-3, 5e-2, 2e-3],
    }
)
ARMS = {"refresh": 0.19, "retrain": 0.2, "popularity alone": 0.15, "nothing": 0.1}
WINDOWS = pl.DataFrame(
    [{"window": w, "arm": a, "value": v + w % 3 / 90} for w in range(9) for a, v in ARMS.items()]
)
FORECASTS = pl.DataFrame(
    {
        "refresh": [1, 2, 3],
        "expected gain": [0.0, 0.01, 0.01],
        "low": [-0.05, -0.04, -0.04],
        "high": [0.05, 0.06, 0.06],
        "measured gain": [0.02, 0.2, None],
        "standard error": [0.01, 0.01, None],
    }
)
CAUGHT = pl.DataFrame(
    {
        "fault": ["all"] * 3,
        "lasting": [False, False, True],
        "wanted": [0.0, 0.2, 0.2],
        "n": [40, 40, 40],
        "caught": [0.025, 0.97, 1.0],
        "low": [0.0, 0.9, 0.95],
        "high": [0.1, 1.0, 1.0],
    }
)
DAYS = pl.DataFrame(
    [
        {"trace": f"day {day}", "arm": arm, "cost": cost + day, "missed": late, "n_jobs": 100}
        for day in range(3)
        for arm, cost, late in (("ours", 6.0, 0), ("best static", 9.0, 0), ("reactive", 5.0, 7))
    ]
)
SAVED = pl.DataFrame(
    {"against": ["best static"], "saved": [0.4], "low": [0.38], "high": [0.42], "missed": [0]}
)
CARBON = pl.DataFrame({"arm": ["ours", "best static"], "kwh": [9.3, 11.9], "carbon_kg": [3.2, 4.2]})
LOAD = pl.DataFrame(
    {
        "due_s": np.linspace(0, 9, 99),
        "latency_ms": 2 + np.sin(np.arange(99.0)),
        "error": pl.Series([None] * 99, dtype=pl.String),
    }
)
SIZES = pl.DataFrame(
    {"items": [10_000, 100_000], "clients": [8, 8], "p50_ms": [1.0, 2.0], "p99_ms": [3.0, 6.0]}
)
RESULT = pl.DataFrame(
    {
        "model": ["two-tower", "recency popularity"],
        "ndcg@20 known": [0.25, 0.22],
        "low": [0.2, 0.18],
        "high": [0.3, 0.26],
    }
)
SIGNAL = pl.DataFrame(
    {"feature": ["a", "b"], "signal": [0.8, 0.7], "low": [0.7, 0.6], "high": [0.9, 0.8]}
)
SKEW = pl.DataFrame({"feature": ["a", "b"], "online": [1.0, 2.0], "batch": [1.0, 2.0]})
LIST = pl.DataFrame(
    {
        "rank": [1, 2],
        "item_id": [40, 10],
        "title": ["Forty", "Ten"],
        "taste": [5.0, -1.0],
        "prior": [1.0, 2.0],
        "rank by prior": [3, 1],
    }
)
SWEPT = SimpleNamespace(
    trials=TRIALS, goal="maximize", metric="ndcg@20", value=0.3, best={"learning_rate": 2e-3}
)
SEEN = [(0.0, 2, 1), (1800.0, 6, 6), (3600.0, 4, 2)]
SIMPLE = {
    "score_figure": lambda: recommendations.score_figure(LIST),
    "update_figure": lambda: refresh.update_figure([5.0, 4.5, 4.25]),
    "forecast_figure": lambda: refresh.forecast_figure(FORECASTS),
    "windows_figure": lambda: refresh.windows_figure(WINDOWS, metric="ndcg@20"),
    "gap_figure": lambda: refresh.gap_figure(WINDOWS, slope=-0.01, low=-0.02, high=0.01),
    "operating_figure": lambda: refresh.operating_figure(CAUGHT),
    "workers_figure": lambda: scaling.workers_figure({"ours": SEEN}, day="day 7"),
    "cost_figure": lambda: scaling.cost_figure(DAYS),
    "savings_figure": lambda: scaling.savings_figure(SAVED),
    "energy_figure": lambda: scaling.energy_figure(CARBON),
    "history_figure": lambda: search.history_figure(TRIALS, metric="ndcg@20"),
    "dial_figure": lambda: search.dial_figure(TRIALS, dial="learning_rate", metric="ndcg@20"),
    "progress_figure": lambda: sweep.progress_figure(SWEPT),
    "parameters_figure": lambda: sweep.parameters_figure(SWEPT, ["learning_rate"]),
    "latency_figure": lambda: serving.latency_figure(
        {"busy": LOAD["latency_ms"].to_numpy(), "idle": np.array([1.0, 1.1])}, bar_ms=8
    ),
    "latency_over_time_figure": lambda: serving.latency_over_time_figure(LOAD, [2.5], bar_ms=8),
    "latency_by_size_figure": lambda: serving.latency_by_size_figure(SIZES, bar_ms=8),
    "half_life_figure": lambda: training.half_life_figure(
        pl.DataFrame({"half_life_days": [1.0, 4.0], "ndcg@20": [0.1, 0.2]}),
        best=4,
        metric="ndcg@20",
    ),
    "learning_curve_figure": lambda: training.learning_curve_figure(
        [(0, 0.2), (20, 0.25)], best_step=20, baseline=0.2, metric="ndcg@20"
    ),
    "result_figure": lambda: training.result_figure(
        RESULT, metric="ndcg@20", model="two-tower", reference="recency popularity"
    ),
    "signal_figure": lambda: features.signal_figure(SIGNAL),
    "skew_figure": lambda: features.skew_figure(SKEW),
    "distribution_figure": lambda: features.distribution_figure(
        pl.DataFrame({"user_clicks_1h": [0, 2, 1, 0]}), [HOUR]
    ),
    "popularity_figure": lambda: features.popularity_figure(
        [START + timedelta(days=day) for day in range(3)],
        np.array([[0.0, 2.0], [4.0, 1.0], [1.0, 0.0]]),
        half_lives_s=[3600.0, 86_400.0],
        item="Item 5",
    ),
}


@pytest.fixture(scope="module")
def figures(tmp_path_factory, tiny_events, served_toy, compared_figures):
    """Every figure by the name of the function that made it."""
    place = tmp_path_factory.mktemp("figures")
    registry = Registry(place / "registry")
    registry.publish(served_toy.seal(registry).release.manifest.release)
    empty = Overview.of("movielens-100k", workspace=place / "none", runs=place / "runs")
    kept = shape.drift(tiny_events, k=5, n_periods=4)
    user = tiny_events.filter(pl.col("user_id") == 1000)
    line = {"at": "2026-01-01T00:00:00+00:00", "step": 1, "metrics": {"ndcg@20": 0.2}}
    (place / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    run = Run(place, None, {"ndcg@20": 0.2})
    return (
        compared_figures
        | {name: make() for name, make in SIMPLE.items()}
        | {
            "days_figure": events.days_figure(shape.events_per_day(tiny_events)),
            "gaps_figure": events.gaps_figure(shape.gaps_s(tiny_events)),
            "concentration_figure": events.concentration_figure(shape.concentration(tiny_events)),
            "drift_figure": events.drift_figure(kept, k=5, n_items=40),
            "same_instant_figure": events.same_instant_figure(shape.same_instant(tiny_events)),
            "window_figure": features.window_figure(user, HOUR, at=user["ts"][5], value=2),
            "freshness_figure": freshness.freshness_figure(registry, newest=START),
            "way_figure": way.way_figure(empty),
            "metric_figure": runs.metric_figure([run], "ndcg@20"),
            "sparklines_figure": runs.sparklines_figure([run]),
        }
    )


def every_panel(figure):
    """The axes that are drawn, those within others among them."""
    panels = [panel for axes in figure.axes for panel in (axes, *axes.child_axes)]
    return [panel for panel in panels if panel.axison]


def test_there_is_no_figure_of_these_modules_that_is_not_looked_at_here(figures):
    made = {
        (module.__name__.rsplit(".")[-1], name)
        for module in MODULES
        for name in module.__all__
        if name.endswith(("_figure", "_curve"))
    }
    looked_at = {tuple(name.rpartition(".")[::2]) for name in figures}
    # the name of the module stands before names that several have
    assert {m for m in made if m not in looked_at and ("", m[1]) not in looked_at} == set()


def test_every_figure_shows_itself_with_its_finding_in_words(figures):
    assert {name for name, made in figures.items() if not isinstance(made, FindingFigure)} == set()


def test_every_figure_of_the_simulated_world_says_so(figures):
    for name in (*simulated.__all__, *policy.__all__):
        figure = figures.get(name) or figures[f"policy.{name}"]
        assert "simulated" in figure.finding().lower(), name


def drawn_colours(axes):
    """Of lines, marks and bars."""
    for line in axes.lines:
        is_line = line.get_linestyle() != "None"
        yield line.get_color() if is_line else line.get_markeredgecolor()
    for bar in axes.patches:
        yield bar.get_facecolor()


def test_lines_marks_and_bars_have_only_colours_of_the_palette(figures):
    known = {to_hex(colour) for colour in (*COLOURS.values(), INK)}
    strange = {
        (name, to_hex(colour))
        for name, figure in figures.items()
        for axes in figure.axes
        for colour in drawn_colours(axes)
        if to_hex(colour) not in known
    }
    assert strange == set()


def test_no_two_lines_of_a_legend_look_the_same(figures):
    for name, figure in figures.items():
        for legend in (*figure.legends, *(axes.get_legend() for axes in figure.axes)):
            lines = legend.get_lines() if legend else []
            looks = [(to_hex(x.get_color()), x.get_linestyle(), x.get_marker()) for x in lines]
            assert len(set(looks)) == len(looks), name


def test_every_figure_says_what_it_found(figures):
    findings = {name: figure.finding() for name, figure in figures.items()}
    assert [name for name, finding in findings.items() if not re.search(r"\w", finding)] == []


def test_every_axis_of_numbers_says_what_they_are_and_in_which_unit(figures):
    bare = []
    for name, figure in figures.items():
        figure.draw_without_rendering()
        for panel in every_panel(figure):
            for axis in (panel.xaxis, panel.yaxis):
                # names that stand at the ticks say it themselves
                is_named = isinstance(axis.get_major_formatter(), NAMED)
                told = f"{axis.get_label_text().replace('_', ' ')} {panel.get_title(loc='left')}"
                if len(axis.get_ticklocs()) and not is_named and not UNIT.search(told):
                    bare.append((name, axis.axis_name))
    assert bare == []


def test_no_finding_is_cut_off(figures):
    cut = []
    for name, figure in figures.items():
        figure.draw_without_rendering()
        for axes in figure.axes:
            title = axes._left_title.get_window_extent()
            if title.x1 > figure.bbox.x1 or title.y1 > figure.bbox.y1:
                cut.append(name)
        top = figure._suptitle
        if top and top.get_window_extent().x1 > figure.bbox.x1:
            cut.append(name)
    assert cut == []
