"""What tests of figures share: a way to draw one, and figures of what was compared."""

import itertools
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.widgets import benchmark, freshness_curve, policy, simulated

START = datetime(2026, 1, 1, tzinfo=UTC)
QUALITY = pl.DataFrame(
    {"model": ["two-tower", "EASE"], "ndcg@20": [0.25, 0.2], "low": [0.2, 0.1], "high": [0.3, 0.26]}
)
EXPOSED = pl.DataFrame(
    [
        {"model": name, "decile": decile, "exposure_frac": decile / 55}
        for name in ("two-tower", "EASE", "c", "d", "e", "f")
        for decile in range(1, 11)
    ]
)
PRICE = pl.DataFrame(
    {"share": [0.0, 0.1, 0.5], "value": [0.3, 0.29, 0.2], "low": [0.2] * 3, "high": [0.4] * 3}
)
FRESH = pl.DataFrame(
    [
        {"model": m, "cadence": c, "cpu_s": 1.5 * i, "sustainable": i < 2, "ndcg@20": 0.2 + i / 99}
        for m in ("ours", "counters", "ease")
        for i, c in enumerate(("never", "1d", "15m"))
    ]
).with_columns(
    (pl.col("ndcg@20") - 0.02).alias("ndcg@20_low"),
    (pl.col("ndcg@20") + 0.02).alias("ndcg@20_high"),
)
PARTS = {"history": 0.07, "statistics": 0.01, "weights": 0.01, "index": 0.01, "all": 0.1}
SHARES = pl.DataFrame(
    [
        {"gain": "1d to 15m", "dial": dial, "value": v, "low": v - 0.01, "high": v, "frac": v / 0.1}
        for dial, v in PARTS.items()
    ]
)
GAINS = pl.DataFrame(
    [
        {"begins": START + timedelta(hours=h), "arm": arm, "gain": h / 99, "gain_low": 0.0}
        for arm in ("i-never", "i-1d", "i-1h", "i-15m")
        for h in range(3)
    ]
).with_columns(gain_high=pl.col("gain") * 2)
JUDGED = pl.DataFrame(
    {
        "policy": ["a", "b"],
        "estimator": ["dr"] * 2,
        "value": [0.2, None],
        "bootstrap_low": [0.1, None],
        "bootstrap_high": [0.3, None],
        "bernstein_low": [0.0, None],
        "bernstein_high": [0.4, None],
        "truth": [0.25, 0.5],
    }
)
REGRET = pl.DataFrame(
    [
        {"hour": h, "arm": f"arm {arm}", "regret": arm * h}
        for arm in range(8)
        for h in (49.0, 50.0, 51.0)
    ]
)
DECILES = pl.DataFrame(
    [{"decile": d, "arm": a, "share": 1 / 11} for a in ("arm 1", "arm 2") for d in range(11)]
)
UPLIFTS = pl.DataFrame(
    [
        {"taste_half_life_h": taste, "item_half_life_h": item, "label_delay_s": delay}
        | {
            f"{name}{bound}": 6 / item + by
            for name in ("click_rate", "watch_s")
            for bound, by in (("", 0.0), ("_low", -0.02), ("_high", 0.02))
        }
        for taste, item, delay in itertools.product((6.0, 24.0), (12.0, 48.0, 96.0), (0.0, 3600.0))
    ]
)
AB_TESTS = pl.DataFrame(
    [
        {"seed": seed, "metric": "click_rate", "design": design, "true": 0.1 + seed / 50}
        | {"estimate": 0.05, "low": 0.0, "high": 0.1}
        for design in ("both learn from all", "each learns from its own")
        for seed in range(3)
    ]
)
CALIBRATION = pl.DataFrame(
    [
        {"arm": arm, "bin": b, "predicted": 0.1 * b + gap, "true": 0.1 * b}
        for arm, gap in (("naive", 0.05), ("wait for the label", 0.02), ("corrected counts", 0.0))
        for b in range(4)
    ]
)
COMPARED = pl.DataFrame(
    {
        "cadence": ["never", "1 d", "1 h"],
        "real": [-0.1, 0.0, 0.1],
        "low": [-0.2, 0.0, 0.05],
        "high": [0.0, 0.0, 0.15],
        "simulated": [-0.3, 0.0, 0.1],
        "simulated_low": [-0.4, 0.0, 0.0],
        "simulated_high": [-0.2, 0.0, 0.2],
        "inside": [False, None, True],
    }
)


ROUTED = pl.DataFrame(
    {
        "layer": [0] * 4,
        "decile": [1, 1, 10, 10],
        "expert": [0, 1, 0, 1],
        "n_choices": [5, 5, 2, 6],
        "share": [0.5, 0.5, 0.25, 0.75],
    }
)


@pytest.fixture
def drawn(tmp_path):
    """Draws the figure for real and gives its only axes."""

    def draw(figure):
        figure.savefig(tmp_path / "figure.png")
        (axes,) = figure.axes
        return axes

    return draw


@pytest.fixture(scope="module")
def compared_figures():
    """Of benchmarks, freshness, policies and the simulated world, by the functions' names."""
    return {
        "benchmark.result_figure": benchmark.result_figure(QUALITY, metric="ndcg@20"),
        "benchmark.exposure_figure": benchmark.exposure_figure(
            EXPOSED, EXPOSED["model"].unique(maintain_order=True).to_list()
        ),
        "price_figure": benchmark.price_figure(PRICE, metric="ndcg@20"),
        "routing_figure": benchmark.routing_figure(ROUTED),
        "freshness_curve": freshness_curve.freshness_curve(
            FRESH, metric="ndcg@20", recommended="1d", gained=0.05
        ),
        "freshness_curve.cost_figure": freshness_curve.cost_figure(FRESH, metric="ndcg@20"),
        "shares_figure": freshness_curve.shares_figure(SHARES, metric="ndcg@20"),
        "over_time_figure": freshness_curve.over_time_figure(GAINS, metric="ndcg@20"),
        "truth_figure": policy.truth_figure(JUDGED),
        "regret_figure": policy.regret_figure(REGRET, best="arm 1", other="arm 2"),
        "policy.exposure_figure": policy.exposure_figure(DECILES, arms=["arm 1", "arm 2"]),
        "surface_figure": simulated.surface_figure(UPLIFTS),
        "interference_figure": simulated.interference_figure(AB_TESTS),
        "calibration_figure": simulated.calibration_figure(CALIBRATION),
        "curves_figure": simulated.curves_figure(COMPARED),
    }
