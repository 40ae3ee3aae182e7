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
from recbench.cluster.scaling import DueWork, Hour, ScalingPolicy
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


def test_a_rebuild_is_put_off_to_the_cheapest_hours_before_it_is_due():
    hours = [Hour(1800, 3.0), Hour(3600, 2.0), Hour(3600, 1.0), Hour(3600, 0.1)]
    policy = ScalingPolicy(margin_s=0, later_margin_s=0)
    rebuild = DueWork(3600, 9000, n_tasks=16, may_wait=True)

    # due after 2.5 hours: the fourth hour is too late, the third is cheapest
    assert seconds_to_wait(rebuild, hours, policy=policy, startup_s=0) == 5400
    assert seconds_to_wait(rebuild._replace(may_wait=False), hours, policy=policy, startup_s=0) == 0


def test_a_percent_that_is_worth_nothing_pays_for_nothing():
    with pytest.raises(InputError, match="must be positive, got 0"):
        break_even_gain(1.0, worth_of_one_percent=0)
