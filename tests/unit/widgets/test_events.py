"""Figures of a log: the title states what was found, and what is drawn is the data."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.tables import shape
from recbench.widgets import events as figures

START = datetime(2026, 1, 1, tzinfo=UTC)


def title_of(axes):
    return axes.get_title(loc="left")


def labels_of(axes):
    legend = axes.get_legend() or axes.figure.legends[0]
    return {text.get_text() for text in legend.get_texts()}


def kept_lists(*shares):
    rows = [(START + timedelta(days=day), *pair) for day, pair in enumerate(shares)]
    names = [("ts", pl.Datetime("us", "UTC")), ("of_previous", pl.Float64)]
    return pl.DataFrame(rows, schema=[*names, ("of_first", pl.Float64)], orient="row")


def test_days_are_drawn_beside_the_median_day(drawn):
    counts = [5, 1000, 3]
    days = pl.DataFrame(
        {"day": [START + timedelta(days=day) for day in range(3)], "n_events": counts}
    )
    axes = drawn(figures.days_figure(days))
    assert title_of(axes) == "1,000 events on the busiest of 3 days, 5 on the median day"
    assert [bar.get_height() for bar in axes.patches[:3]] == counts
    assert labels_of(axes) == {"median day", "middle 80 % of days"}
    assert axes.get_xlabel() == "day, UTC"


@pytest.mark.parametrize(
    ("gaps", "finding"),
    [
        ([0.0, 0.0, 9.0], "at the very same instant"),
        ([1.0, 30.0, 31.0], "within 30 s"),
        ([90.0], "within 1.5 min"),
        ([7200.0], "within 2 h"),
        ([43_200.0, 216_000.0], "within 1.5 d"),
        ([0.25], "within 0.25 s"),
    ],
)
def test_gaps_are_told_in_a_readable_unit(drawn, gaps, finding):
    axes = drawn(figures.gaps_figure(pl.Series(gaps)))
    assert title_of(axes) == f"Half of the next events come {finding}"


def test_gaps_are_drawn_as_the_share_within_each(drawn):
    axes = drawn(figures.gaps_figure(pl.Series([1.0, 2.0, 2.0, 60.0])))
    line = axes.lines[-1]
    assert line.get_xdata().tolist() == [1, 2, 2, 60]
    assert line.get_ydata().tolist() == [0.25, 0.5, 0.75, 1.0]


def test_a_long_list_of_gaps_is_thinned_from_end_to_end(drawn):
    gaps = pl.Series(range(10_000), dtype=pl.Float64)
    line = drawn(figures.gaps_figure(gaps)).lines[-1]
    assert len(line.get_xdata()) == figures.POINTS
    assert line.get_xdata()[-1] == 9_999
    assert line.get_ydata()[-1] == 1.0


def test_users_with_one_event_each_have_no_gaps_to_draw(drawn):
    axes = drawn(figures.gaps_figure(pl.Series([], dtype=pl.Float64)))
    assert title_of(axes) == "No user has a second event"


def test_concentration_is_drawn_beside_an_even_spread(drawn):
    curve = pl.DataFrame({"items_frac": [0.0, 0.1, 0.5, 1.0], "clicks_frac": [0.0, 0.4, 0.9, 1.0]})
    axes = drawn(figures.concentration_figure(curve))
    assert title_of(axes) == "The top 10% of the items get 40% of the clicks"
    assert axes.lines[0].get_ydata().tolist() == [0.0, 0.4, 0.9, 1.0]
    assert "all items alike" in labels_of(axes)


def test_drift_is_drawn_beside_chance(drawn):
    # mean of 0.5 and 0.7 is 0.6; by chance 5 of 50 items stay
    axes = drawn(figures.drift_figure(kept_lists((0.5, 0.5), (0.7, 0.1)), k=5, n_items=50))
    assert title_of(axes) == "Of a period's top 5 items, 60% were there a period ago"
    before, first, chance = axes.lines
    assert list(before.get_ydata()) == [0.5, 0.7]
    assert list(first.get_ydata()) == [0.5, 0.1]
    assert set(chance.get_ydata()) == {0.1}


def test_drift_of_a_single_period_says_so(drawn):
    axes = drawn(figures.drift_figure(kept_lists(), k=5, n_items=3))
    assert title_of(axes) == "Of a period's top 5 items, no two periods have clicks"


def test_events_of_one_instant_are_told_by_their_share(drawn):
    shares = pl.DataFrame({"at_once": ["1", "2"], "events_frac": [0.242, 0.758]})
    axes = drawn(figures.same_instant_figure(shares))
    assert title_of(axes) == "75.8% of the events share their user's instant"
    assert [bar.get_height() for bar in axes.patches] == [0.242, 0.758]


def test_every_figure_can_be_drawn_of_a_real_log(drawn, tiny_events):
    kept = shape.drift(tiny_events, k=5, n_periods=3)
    for figure in (
        figures.days_figure(shape.events_per_day(tiny_events)),
        figures.gaps_figure(shape.gaps_s(tiny_events)),
        figures.concentration_figure(shape.concentration(tiny_events)),
        figures.drift_figure(kept, k=5, n_items=40),
        figures.same_instant_figure(shape.same_instant(tiny_events)),
    ):
        axes = drawn(figure)
        assert axes.get_xlabel()
        assert axes.get_ylabel()
