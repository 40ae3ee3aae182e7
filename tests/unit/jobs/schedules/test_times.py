from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbench.errors import InputError
from recbench.jobs.schedules.times import Cron, Due, Every, times_of

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
BERLIN = "Europe/Berlin"  # 2026: clocks jump ahead on March 29 at 01:00 UTC, back on October 25


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def listed(times, begin, n):
    found = [begin]
    for _ in range(n):
        found.append(times.after(found[-1]))
    return [f"{time:%m-%d %H:%M}" for time in found[1:]]


def test_a_quarter_of_an_hour_falls_on_the_quarters():
    assert listed(Every(900), at("2026-11-28 11:52:07"), 3) == [
        "11-28 12:00",
        "11-28 12:15",
        "11-28 12:30",
    ]


def test_cron_is_utc_unless_told():
    assert listed(Cron("30 2 * * *"), NOON, 2) == ["11-29 02:30", "11-30 02:30"]
    assert listed(Cron("30 2 * * *", BERLIN), NOON, 2) == ["11-29 01:30", "11-30 01:30"]


def test_the_hour_that_is_left_out_runs_right_after_the_jump():
    # 02:30 in Berlin does not exist on the 29th: 03:00 summer time is 01:00 UTC
    assert listed(Cron("30 2 * * *", BERLIN), at("2026-03-27 12:00"), 3) == [
        "03-28 01:30",
        "03-29 01:00",
        "03-30 00:30",
    ]


def test_the_hour_that_comes_twice_runs_once():
    # 02:30 in Berlin is 00:30 and 01:30 UTC on the 25th
    assert listed(Cron("30 2 * * *", BERLIN), at("2026-10-24 12:00"), 2) == [
        "10-25 00:30",
        "10-26 01:30",
    ]


def test_the_second_of_two_equal_hours_does_not_name_a_time_of_the_first():
    assert listed(Cron("30 2 * * *", BERLIN), at("2026-10-25 01:10"), 1) == ["10-26 01:30"]


def test_what_runs_every_half_hour_goes_by_the_time_that_passes():
    assert listed(Cron("*/30 * * * *", BERLIN), at("2026-10-24 23:45"), 5) == [
        "10-25 00:00",
        "10-25 00:30",
        "10-25 01:00",
        "10-25 01:30",
        "10-25 02:00",
    ]


@pytest.mark.parametrize("times", [Every(900), Cron("*/15 * * * *"), Cron("*/15 * * * *", BERLIN)])
def test_the_times_within_a_span_are_counted_with_their_ends(times):
    found = times.within(NOON, NOON + timedelta(hours=1))

    assert found == Due(at("2026-11-28 12:15"), at("2026-11-28 13:00"), at("2026-11-28 12:45"), 4)
    assert times.within(NOON, NOON + timedelta(minutes=14)) is None
    assert times.within(NOON, NOON + timedelta(minutes=15)).before_last is None
    assert times.within(NOON, NOON - timedelta(hours=1)) is None


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),
    st.sampled_from(["30 2 * * *", "0 * * * *", "*/20 1-3 * * *", "15 3 * * SUN", "5 0 29 3 *"]),
)
def test_times_go_on_strictly_in_every_zone(moment, expression):
    times = Cron(expression, BERLIN)
    found = [moment.replace(tzinfo=UTC)]
    for _ in range(5):
        found.append(times.after(found[-1]))

    assert all(earlier < later for earlier, later in pairwise(found))


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("* * * *", "5 fields .* got '\\* \\* \\* \\*'"),
        ("0 0 12 * * *", "got '0 0 12 \\* \\* \\*'"),
        ("61 * * * *", "'61 \\* \\* \\* \\*': Bad minute"),
        ("0 0 31 2 *", "'0 0 31 2 \\*'"),
    ],
)
def test_what_is_no_cron_is_refused(expression, shown):
    with pytest.raises(InputError, match=shown):
        Cron(expression)


def test_a_zone_that_there_is_not_is_refused():
    with pytest.raises(InputError, match="Mars/Base"):
        Cron("0 0 * * *", "Mars/Base")


@pytest.mark.parametrize("seconds", [0, 0.5, float("inf"), float("nan")])
def test_a_distance_below_a_second_is_refused(seconds):
    with pytest.raises(InputError, match=f"got {seconds}"):
        Every(seconds)


@pytest.mark.parametrize("times", [Every(90.5), Cron("0 3 * * MON", BERLIN)])
def test_times_survive_json(times):
    assert times_of(times.as_json()) == times
