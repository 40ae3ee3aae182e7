import numpy as np
import pytest

from recbench.errors import InputError
from recbench.simulation.effects import mean_over_seeds, relative_effect


def test_the_interval_is_students():
    # mean 2, standard deviation 1, t of 2 degrees of freedom 4.3027: 4.3027 / sqrt(3) = 2.4842
    found = mean_over_seeds(np.array([1.0, 2.0, 3.0]))
    assert found.value == 2.0
    assert found.high - 2.0 == pytest.approx(2.4842, abs=1e-4)
    assert found.n_seeds == 3


def test_a_relative_effect_is_paired():
    control = np.array([0.1, 0.5, 0.9])
    found = relative_effect(control * 1.2, control)
    assert str(found) == "+20.0% [+20.0%, +20.0%]"


def test_what_has_no_interval_is_refused():
    with pytest.raises(InputError, match="at least 2 of them, got 1"):
        mean_over_seeds(np.ones(1))
    with pytest.raises(InputError, match="needs positive values"):
        relative_effect(np.array([1.0, 0.0]), np.ones(2))
