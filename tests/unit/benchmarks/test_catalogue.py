"""What a step costs at a small catalogue and a larger one."""

import pytest

from recbench.benchmarks import catalogue
from recbench.errors import InputError


def test_bytes_are_those_of_tables_states_and_token_rows():
    figures = catalogue.measure(n_items=20_000)
    # table, two moments and the average of 64 float32; last step and count int32; two token rows
    per_item = 4 * 64 * 4 + 2 * 4 + 2 * 8
    assert figures["catalogue_bytes"] == 20_000 * per_item
    ratio = figures["step_ms_10k_items"] / figures["step_ms_catalogue"]
    assert figures["catalogue_vs_10k_items"] == pytest.approx(ratio)


def test_a_catalogue_smaller_than_the_small_one_is_refused():
    with pytest.raises(InputError, match="at least 10000, got 5"):
        catalogue.measure(n_items=5)
