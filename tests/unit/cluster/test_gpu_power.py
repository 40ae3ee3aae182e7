"""Power limits by a stand-in for pynvml that says it is one: no real GPU is asked."""

import contextlib

import pytest

from recbench.cluster.gpu_power import cap_power, gpu_powers, power_capped
from recbench.errors import InputError


def test_every_gpu_tells_what_it_may_draw_and_nothing_is_changed(stand_in_nvml):
    nvml = stand_in_nvml(350, 250)

    first, second = gpu_powers(nvml)
    assert first == (0, "stand-in GPU 0", 90.0, 350.0, 400.0, 100.0, 400.0)
    assert second.limit_w == 250.0
    assert nvml.was_set == []


def test_what_a_gpu_does_not_tell_is_none(stand_in_nvml):
    nvml = stand_in_nvml(350, tells=False)

    (found,) = gpu_powers(nvml)
    assert found[2:] == (90.0, None, None, None, None)
    with pytest.raises(InputError, match="GPU 0 cannot be set: Not Supported"):
        cap_power(nvml, 0, 250, allowed=True)


def test_a_power_cap_needs_the_users_word(stand_in_nvml):
    nvml = stand_in_nvml(350)

    with pytest.raises(InputError, match="it is not allowed to set 250 W"):
        cap_power(nvml, 0, 250, allowed=False)
    assert nvml.was_set == []


def test_a_power_cap_says_what_was_before(stand_in_nvml):
    nvml = stand_in_nvml(350, 300)

    assert cap_power(nvml, 1, 250, allowed=True) == 300.0
    assert nvml.was_set == [(1, 250_000)]


def test_a_power_cap_ends_with_its_block_however_it_ends(stand_in_nvml):
    nvml = stand_in_nvml(350)

    with contextlib.suppress(ZeroDivisionError), power_capped(nvml, 0, 250, allowed=True):
        assert nvml.was_set[-1] == (0, 250_000)
        raise ZeroDivisionError
    assert nvml.was_set == [(0, 250_000), (0, 350_000)]


@pytest.mark.parametrize("watts", [99, 401])
def test_a_cap_beyond_what_the_gpu_allows_is_refused(stand_in_nvml, watts):
    with pytest.raises(InputError, match=f"must lie in 100 to 400, got {watts}"):
        cap_power(stand_in_nvml(350), 0, watts, allowed=True)


def test_a_gpu_that_is_not_there_and_missing_rights_are_told(stand_in_nvml):
    with pytest.raises(InputError, match="no GPU 2: this machine has 1"):
        cap_power(stand_in_nvml(350), 2, 250, allowed=True)
    with pytest.raises(InputError, match=r"Insufficient Permissions\. It needs root"):
        cap_power(stand_in_nvml(350, is_root=False), 0, 250, allowed=True)
