"""A run that has the time waits for cheap hours, and no longer than it may."""

import json

import pytest

from recbench.cluster.scaling import Hour
from recbench.errors import InputError
from recbench.jobs.cheap_hours import cheapest, usual_seconds, wait_for_cheap_hours

HOUR_S = 3600.0


class Clock:
    """Hours of a price each, from now on, whatever was slept."""

    def __init__(self, *prices):
        self.prices, self.slept = prices, []

    def hours(self):
        gone_s = sum(self.slept)
        number = int(gone_s / HOUR_S)
        left = [Hour(HOUR_S, price) for price in self.prices[number:]]
        return (left[0]._replace(seconds=(number + 1) * HOUR_S - gone_s), *left[1:])

    def wait(self, *, within_h, takes_h=0.5):
        wait_for_cheap_hours(
            self.hours,
            within_s=within_h * HOUR_S,
            takes_s=takes_h * HOUR_S,
            sleep=self.slept.append,
        )
        return sum(self.slept) / HOUR_S


def test_it_begins_with_the_cheapest_hour():
    clock = Clock(0.3, 0.2, 0.1, 0.2, 0.3, 0.3)
    assert clock.wait(within_h=5) == 2.0
    assert max(clock.slept) == 600.0  # asked again on the way


def test_it_begins_at_once_where_waiting_saves_nothing():
    assert Clock(0.1, 0.2, 0.3).wait(within_h=3) == 0
    assert Clock(0.1, 0.1, 0.1).wait(within_h=3) == 0


def test_a_cheap_hour_that_is_too_late_is_not_waited_for():
    # half an hour of work that may take .65, half an hour to spare: the second hour is the last
    assert Clock(0.3, 0.2, 0.1, 0.1).wait(within_h=2.5) == 1.0


def test_without_a_forecast_it_begins_at_once():
    wait_for_cheap_hours(tuple, within_s=9 * HOUR_S, takes_s=60.0, sleep=pytest.fail)


def test_a_forecast_that_turns_ends_the_wait():
    clock = Clock(0.3, 0.1, 0.3)

    def hours():
        return clock.hours() if not clock.slept else (Hour(HOUR_S, 0.1), Hour(HOUR_S, 0.3))

    wait_for_cheap_hours(
        hours, within_s=3 * HOUR_S, takes_s=600.0, sleep=clock.slept.append, say=lambda _: None
    )
    assert clock.slept == [600.0]


def test_it_says_why_it_waits():
    hours = (Hour(HOUR_S, 0.4, 500.0), Hour(HOUR_S, 0.1, 100.0), Hour(HOUR_S, 0.5))
    begins = cheapest(hours, takes_s=1800.0, left_s=3 * HOUR_S)

    assert begins == (
        HOUR_S,
        "a worker-hour costs 0.1 then, 0.4 now, 100 g of CO2 a kWh then, 500 now",
    )
    assert cheapest(hours[1:], takes_s=1800.0, left_s=3 * HOUR_S) == (0.0, "")


def test_an_hour_in_which_nothing_may_be_drawn_is_waited_out():
    hours = (Hour(HOUR_S, 0.1, power_w=0.0), Hour(HOUR_S, 0.4))

    assert cheapest(hours, takes_s=600.0, left_s=3 * HOUR_S) == (
        HOUR_S,
        "a worker may not draw its 3.5 W now",
    )


def test_what_a_run_takes_is_the_median_of_those_that_succeeded(tmp_path):
    for number, (status, minutes) in enumerate(
        [("succeeded", 2), ("succeeded", 4), ("failed", 50), ("succeeded", 9)]
    ):
        folder = tmp_path / f"20261128T10000{number}Z-night-00000{number}"
        folder.mkdir()
        (folder / "manifest.json").write_text(
            json.dumps(
                {
                    "run": folder.name,
                    "notebook": "/notebooks/night.ipynb",
                    "notebook_sha256": "",
                    "parameters": {},
                    "status": status,
                    "started_at": "2026-11-28T10:00:00+00:00",
                    "duration_s": 60.0 * minutes,
                }
            )
        )
    assert usual_seconds("night", tmp_path) == 240.0
    with pytest.raises(InputError, match="No run of `day` .* say what it --takes"):
        usual_seconds("day", tmp_path)
