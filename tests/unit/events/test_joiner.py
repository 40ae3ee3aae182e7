"""Exposures and actions joined, worked out by hand."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.errors import InputError, SchemaError
from recbench.events.joined import exposures, joined, latest, n_orphans
from recbench.events.joiner import Joiner
from recbench.events.shown import LabelWindows

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOWS = LabelWindows(label=timedelta(seconds=60), correction=timedelta(seconds=30))


def at(second):
    return START + timedelta(seconds=second)


def rows(*listed):
    """Each is (second, request, what): shown, click, watch or shown+click; item 7, in order."""
    return pl.DataFrame(
        {
            "request_id": [request for _, request, _ in listed],
            "item_id": [7] * len(listed),
            "ts": [at(second) for second, *_ in listed],
            "clicked": ["click" in what for *_, what in listed],
            "watch_ms": [500 if "watch" in what else None for *_, what in listed],
            "propensity": [0.5 if "shown" in what else None for *_, what in listed],
        },
        schema_overrides={"watch_ms": pl.Int64, "ts": pl.Datetime("us", "UTC")},
    )


def labels(examples):
    names = ["request_id", "clicked", "watch_ms", "label_ts"]
    return examples.sort("request_id").select(names).rows()


def test_an_action_counts_from_its_exposure_to_the_end_of_the_window():
    examples = joined(
        rows(
            (10, 1, "shown"), (70, 1, "click"),  # the last moment of [10, 70]
            (10, 2, "shown"), (71, 2, "click"),  # too late
            (10, 3, "shown"), (9, 3, "click"),  # before it was shown
        ),
        WINDOWS,
    )  # fmt: skip
    assert labels(examples) == [
        (1, True, None, at(70)),
        (2, False, None, at(70)),
        (3, False, None, at(70)),
    ]


def test_watch_times_add_up_and_the_first_click_sets_the_time():
    examples = joined(
        rows((0, 1, "shown"), (5, 1, "watch"), (20, 1, "click"), (30, 1, "click and watch")),
        WINDOWS,
    )
    assert labels(examples) == [(1, True, 1_000, at(20))]


def test_an_exposure_logged_with_its_click_is_both():
    assert labels(joined(rows((0, 1, "shown and click")), WINDOWS)) == [(1, True, None, at(0))]


def test_rows_of_no_request_and_actions_of_no_exposure_are_no_examples():
    stray = rows((0, 1, "click"), (0, 2, "shown")).with_columns(
        pl.when(pl.col("request_id") == 1).then("request_id").alias("request_id")
    )
    assert labels(joined(stray, WINDOWS)) == []


def test_the_first_of_two_exposures_stays():
    examples = joined(rows((0, 1, "shown"), (5, 1, "shown")), WINDOWS)
    assert examples["ts"].to_list() == [at(0)]


def test_a_row_that_came_after_the_windows_does_not_count():
    # the windows of the exposure end at 0 + 60 + 30; the click came at watermark 91
    came = rows((0, 1, "shown"), (10, 1, "click")).with_columns(
        watermark=pl.Series([at(-5), at(91)])
    )
    assert labels(joined(came, WINDOWS)) == [(1, False, None, at(60))]


def test_what_comes_with_the_last_moment_of_the_windows_is_in_time():
    # at watermark 60 a row of 60 is not late yet
    windows = LabelWindows(label=timedelta(seconds=60), correction=timedelta(0))
    came = rows((0, 1, "shown"), (60, 1, "click")).with_columns(watermark=pl.Series([None, at(60)]))
    assert labels(joined(came, windows)) == [(1, True, None, at(60))]


def test_an_exposure_that_came_too_late_gives_way_to_the_next_of_its_key():
    came = rows((0, 1, "shown"), (50, 1, "shown")).with_columns(watermark=pl.lit(at(91)))
    assert joined(came, WINDOWS)["ts"].to_list() == [at(50)]


def test_orphans_are_actions_that_count_for_no_exposure():
    came = rows(
        (0, 1, "shown"), (60, 1, "click"),  # counts
        (0, 2, "shown"), (61, 2, "click"),  # after the window
        (5, 3, "watch"),  # of nothing
        (5, 4, "shown and click"),  # counts for itself
    )  # fmt: skip
    assert n_orphans(came, came, WINDOWS) == 2


def test_exposures_are_what_was_shown_again_too_but_not_what_came_too_late():
    came = rows((0, 1, "shown"), (3, 1, "shown"), (5, 1, "click"), (6, 2, "shown and click"))
    came = came.with_columns(watermark=pl.Series([None, at(94), None, None]))
    assert exposures(came, WINDOWS)["ts"].to_list() == [at(0), at(6)]


def test_what_is_told_when():
    joiner, none = Joiner(WINDOWS), rows()
    told = joiner.feed(rows((0, 1, "shown"), (0, 2, "shown"), (5, 1, "click")), watermark=at(5))
    assert told.select("request_id", "clicked", "revision").rows() == [(1, True, 0)]
    # a watch time within the window is told when that is over, together with what was not clicked
    assert not len(joiner.feed(rows((20, 1, "watch")), watermark=at(60)))
    told = joiner.feed(none, watermark=at(61))
    assert sorted(told.select("request_id", "clicked", "watch_ms", "revision").rows()) == [
        (1, True, 500, 1), (2, False, None, 0),
    ]  # fmt: skip
    # late news correct at once, until the correction window is over
    late = joiner.feed(rows((30, 2, "click")), watermark=at(80))
    assert late.select("request_id", "clicked", "revision").rows() == [(2, True, 1)]
    assert not len(joiner.feed(none, watermark=at(91)))
    assert not len(joiner.feed(rows((31, 2, "watch")), watermark=at(95)))


def test_the_state_holds_what_is_open_and_nothing_else():
    joiner = Joiner(WINDOWS)
    for request in range(50):
        second = request * 10
        new = rows((second, request, "shown"), (second, 1_000 + request, "click"))
        joiner.feed(new, watermark=at(second))
    # rows from 490 - 90 s on: 10 exposures and 10 actions without one
    assert len(joiner._rows) == 20
    assert joiner.n_orphans == 40
    assert len(joiner._emitted) <= 10


def test_the_latest_revision_of_each_example():
    told = pl.DataFrame(
        {"request_id": [1, 2, 1], "item_id": [7, 7, 7], "revision": [1, 0, 0], "x": ["b", "c", "a"]}
    )
    assert latest(told).sort("request_id")["x"].to_list() == ["b", "c"]


def test_rows_without_the_columns_to_join_by_are_refused():
    with pytest.raises(SchemaError, match=r"need the columns \['request_id'\]"):
        joined(rows((0, 1, "shown")).drop("request_id"), WINDOWS)


@pytest.mark.parametrize(
    ("label", "correction", "said"),
    [(0, 1, "`label` must be longer than nothing, got 0:00:00"), (1, -1, "got -1 day, 23:59:59")],
)
def test_windows_that_nothing_fits_into_are_refused(label, correction, said):
    with pytest.raises(InputError, match=said):
        LabelWindows(label=timedelta(seconds=label), correction=timedelta(seconds=correction))
