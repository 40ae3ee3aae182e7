import contextlib
import types

import pytest

from recbench.cluster.levers import (
    GpuSetting,
    break_even_gain,
    power_capped,
    proposed_setting,
    seconds_to_wait,
)
from recbench.cluster.scaling import Hour, ScalingPolicy
from recbench.errors import InputError


def gpu():
    """A module like pynvml with one GPU of 100 to 400 W at 350; no real GPU is asked."""
    limits = [350_000]
    return types.SimpleNamespace(
        limits=limits,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetPowerManagementLimitConstraints=lambda device: (100_000, 400_000),
        nvmlDeviceGetPowerManagementLimit=lambda device: limits[-1],
        nvmlDeviceSetPowerManagementLimit=lambda device, value: limits.append(value),
    )


def test_the_proposed_setting_saves_joules_within_the_time_that_may_be_lost():
    full = GpuSetting(400, 1024, 1000, 390)  # .39 J an example
    capped = GpuSetting(250, 1024, 920, 245)  # .266
    slow = GpuSetting(150, 1024, 700, 148)  # .211, but 30 % slower

    assert proposed_setting([full, capped, slow]) == capped
    assert proposed_setting([full, capped, slow], slower=0.5) == slow
    assert proposed_setting([full, capped, slow], slower=0.0) == full


def test_nothing_is_proposed_of_nothing():
    with pytest.raises(InputError, match="`measured` is empty"):
        proposed_setting([])


def test_a_power_cap_needs_the_users_word():
    nvml = gpu()

    with pytest.raises(InputError, match="pass `allowed=True` to set 250"):
        power_capped(nvml, 0, 250, allowed=False).__enter__()
    assert nvml.limits == [350_000]


def test_a_power_cap_ends_with_its_block_however_it_ends():
    nvml = gpu()

    with contextlib.suppress(ZeroDivisionError), power_capped(nvml, 0, 250, allowed=True):
        assert nvml.limits[-1] == 250_000
        raise ZeroDivisionError
    assert nvml.limits == [350_000, 250_000, 350_000]


def test_a_cap_beyond_what_the_gpu_allows_is_refused():
    with pytest.raises(InputError, match="must lie in 100 to 400, got 500"):
        power_capped(gpu(), 0, 500, allowed=True).__enter__()


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
