"""Figures of freshness say what they show."""

from datetime import UTC, datetime, timedelta

import polars as pl

from recbench.widgets.freshness_curve import (
    calibration_figure,
    freshness_curve,
    over_time_figure,
    shares_figure,
)

METRIC = "ndcg@20"


def curve():
    rows = []
    for model, base in (("ours", 0.4), ("counters", 0.3)):
        for number, cadence in enumerate(("never", "1d", "15m")):
            value = base + 0.01 * number
            bounds = {METRIC: value, f"{METRIC}_low": value - 0.02, f"{METRIC}_high": value + 0.02}
            facts = {"cpu_s": 1.5 * number, "sustainable": cadence != "15m"}
            rows.append({"model": model, "cadence": cadence} | bounds | facts)
    return pl.DataFrame(rows)


def test_the_curve_names_the_gain_and_the_cadence_that_is_enough(drawn):
    axes = drawn(freshness_curve(curve(), metric=METRIC, recommended="1d", gained=0.05))

    title = axes.get_title(loc="left")
    assert title == "Releases at their freshest gain 5.0% ndcg@20 over never; 1d is enough"
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["free", "1.5 CPU s", "3 CPU s\nnot sustainable"]
    assert "ideal" in axes.get_xlabel()


def test_the_shares_name_the_dial_that_brings_most(drawn):
    shares = pl.DataFrame(
        [
            {"gain": "1d to 15m", "dial": dial, "value": v, "low": v, "high": v, "frac": v / 0.1}
            for dial, v in {
                "history": 0.07, "statistics": 0.01, "weights": 0.01, "index": 0.01, "all": 0.1,
            }.items()
        ]
    )  # fmt: skip

    axes = drawn(shares_figure(shares, metric=METRIC))

    assert axes.get_title(loc="left") == "History brings 70% of what 1d to 15m gains"


def test_of_a_loss_no_dial_has_a_share(drawn):
    parts = {"history": 0.01, "statistics": -0.02, "weights": 0.0, "index": 0.0, "all": -0.01}
    shares = pl.DataFrame(
        [
            {"gain": "1d to 15m", "dial": dial, "value": v, "low": v, "high": v, "frac": -v / 0.01}
            for dial, v in parts.items()
        ]
    )

    title = drawn(shares_figure(shares, metric=METRIC)).get_title(loc="left")

    assert title == "1d to 15m changes ndcg@20 by -0.0100; History brings most, +0.0100"


def test_over_time_counts_the_parts_that_are_surely_ahead(drawn):
    begun = datetime(2026, 3, 1, tzinfo=UTC)
    values = pl.DataFrame(
        [
            {
                "begins": begun + timedelta(hours=part),
                "arm": arm,
                "gain": gain,
                "gain_low": gain - 0.015,
                "gain_high": gain + 0.015,
            }
            for part in range(3)
            for arm, gain in (("i-never", 0.0), ("i-1h", 0.01 * (part + 1)))
        ]
    )

    axes = drawn(over_time_figure(values, metric=METRIC))

    title = axes.get_title(loc="left")
    assert title == "The freshest releases are surely ahead of never in 2 of 3 parts"


def promised(expected, measured, requests=10):
    rows = {"expected gain": expected, "measured gain": measured}
    return pl.DataFrame(rows).with_columns(requests=pl.lit(requests))


def test_the_calibration_sets_measured_gains_against_expected_ones(drawn):
    expected = [0.00, 0.00, 0.01, 0.01, 0.02, 0.02, 0.04]
    history = promised(expected, [-0.01, 0.01, 0.00, 0.02, 0.08, 0.10, None])

    axes = drawn(calibration_figure(history, n_groups=3))

    # errors of 1 % each; only the last group, 9 % for 2 %, is further off than 1.96 of them
    title = axes.get_title(loc="left").replace("\n", " ")
    assert title.startswith("+1.00 % was expected of a refresh, +3.33 ± ")
    assert title.endswith("2 of 3 groups are within chance")
    assert [round(y, 9) for y in axes.get_lines()[0].get_ydata()] == [0.0, 1.0, 9.0]


def test_a_refresh_that_few_were_served_by_weighs_little_in_the_calibration(drawn):
    busy, quiet = promised([0.01] * 3, [0.01] * 3, 98), promised([0.01], [0.5], 6)

    axes = drawn(calibration_figure(pl.concat([busy, quiet]), n_groups=1))

    # (3 * 98 * 1 % + 6 * 50 %) / 300 = 1.98 %
    assert [round(y, 9) for y in axes.get_lines()[0].get_ydata()] == [1.98]


def test_refreshes_that_promised_the_same_are_one_group(drawn):
    history = promised([0.0] * 6 + [0.01, 0.02], [0.0] * 6 + [0.01, 0.02])

    axes = drawn(calibration_figure(history, n_groups=4))

    assert [round(x, 9) for x in axes.get_lines()[0].get_xdata()] == [0.0, 1.5]


def test_a_refresh_that_promised_what_no_other_did_is_drawn_and_not_judged(drawn):
    history = promised([0.0] * 4 + [0.05], [0.0] * 4 + [0.02])

    axes = drawn(calibration_figure(history))

    assert [round(y, 9) for y in axes.get_lines()[0].get_ydata()] == [0.0, 2.0]
    title = axes.get_title(loc="left").replace("\n", " ")
    assert title.endswith("1 of 1 groups are within chance")
