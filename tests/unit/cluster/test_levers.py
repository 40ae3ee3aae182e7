import pytest

from recbench.cluster.levers import (
    TrainSetting,
    break_even_gain,
    cheapest_in_time,
    proposed_setting,
    seconds_to_wait,
)
from recbench.cluster.scaling import Hour, ScalingPolicy
from recbench.errors import InputError


def test_the_proposed_setting_saves_joules_within_the_time_that_may_be_lost():
    full = TrainSetting(400, 1024, 1000, 0.39)
    capped = TrainSetting(250, 1024, 920, 0.266)
    slow = TrainSetting(150, 1024, 700, 0.211)  # 30 % slower

    assert proposed_setting([full, capped, slow]) == capped
    assert proposed_setting([full, capped, slow], slower=0.5) == slow
    assert proposed_setting([full, capped, slow], slower=0.0) == full


def test_nothing_is_proposed_of_nothing():
    with pytest.raises(InputError, match="`measured` is empty"):
        proposed_setting([])


def test_the_cheapest_setting_that_is_done_in_time_is_proposed():
    quick = TrainSetting(400, 1024, 1000, 0.39)
    frugal = TrainSetting(150, 1024, 700, 0.21)

    assert cheapest_in_time([quick, frugal], examples=7000, within_s=10) == frugal
    assert cheapest_in_time([quick, frugal], examples=7001, within_s=10) == quick
    with pytest.raises(InputError, match=r"10001 examples within 10 s.* takes 10 s"):
        cheapest_in_time([quick, frugal], examples=10_001, within_s=10)
    with pytest.raises(InputError, match="`measured` is empty"):
        cheapest_in_time([], examples=1, within_s=1)


def to_wait(*hours, takes_s, left_s):
    policy = ScalingPolicy(later_margin_s=0, safety=1, carbon_price=100, worker_w=10)
    return seconds_to_wait(hours, takes_s=takes_s, left_s=left_s, policy=policy)


def test_a_rebuild_is_put_off_to_its_cheapest_stretch_before_it_is_due():
    hours = [Hour(1800, 3.0), Hour(3600, 2.0), Hour(3600, 1.0), Hour(3600, 0.1)]

    # an hour of work that is due after 2.5 hours: the fourth hour is too late
    assert to_wait(*hours, takes_s=3600, left_s=9000) == 5400
    # half an hour of it in the fourth: .5 x 1.0 + .5 x .1
    assert to_wait(*hours, takes_s=3600, left_s=10_800) == 5400
    assert to_wait(*hours, takes_s=3600, left_s=12_600) == 9000
    assert to_wait(*hours, takes_s=3600, left_s=3000) == 0  # late in any case


def test_what_runs_to_its_end_does_not_begin_in_a_cheap_hour_between_dear_ones():
    hours = [Hour(3600, price) for price in (1, 0.1, 9, 9, 0.5, 0.5, 1)]

    # two hours of work: .1 + 9 against .5 + .5; one hour of it takes the cheapest
    assert to_wait(*hours, takes_s=7200, left_s=25_200) == 4 * 3600
    assert to_wait(*hours, takes_s=3600, left_s=25_200) == 3600


def test_it_may_end_where_it_gets_dear():
    hours = [Hour(3600, 2), Hour(3600, 1), Hour(3600, 5)]

    # 1.5 hours: begun with half an hour of the first left, .5 x 2 + 1; 1 + .5 x 5 from the second
    assert to_wait(*hours, takes_s=5400, left_s=10_800) == 1800


def test_carbon_has_its_price_and_hours_without_power_are_none():
    # an hour at 10 W and 1000 g is .01 kg, 1.0 of money here
    dirty, clean = Hour(3600, 1.0, 1000.0), Hour(3600, 1.5, 0.0)

    assert to_wait(dirty, clean, takes_s=3600, left_s=7200) == 3600
    assert to_wait(dirty, clean._replace(power_w=9), takes_s=3600, left_s=7200) == 0
    assert to_wait(dirty._replace(power_w=9), clean._replace(price=9), takes_s=600, left_s=7200) > 0


def test_nothing_is_waited_for_that_nobody_knows():
    assert to_wait(takes_s=60, left_s=9000) == 0
    assert to_wait(Hour(60, 9.0), Hour(60, 1.0), takes_s=600, left_s=9000) == 0


def test_a_percent_that_is_worth_nothing_pays_for_nothing():
    with pytest.raises(InputError, match="must be positive, got 0"):
        break_even_gain(1.0, worth_of_one_percent=0)
