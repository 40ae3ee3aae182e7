"""When memory counts as flat."""

import pytest

from recbench.benchmarks import soak
from recbench.errors import InputError


def test_what_is_filled_once_is_no_growth():
    assert soak.growth_frac([100, 200, 200, 200]) == 0.0
    assert soak.growth_frac([100, 200, 250, 300]) == 0.5
    assert soak.growth_frac([7]) == 0.0


def test_nothing_to_soak_is_refused():
    with pytest.raises(InputError, match="must be positive, got .*0"):
        soak.run(seconds=0)
