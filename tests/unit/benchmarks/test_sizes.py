"""The service at several catalogue sizes: each is measured, and its lists are compared."""

import pytest

from recbench.benchmarks import sizes
from recbench.errors import InputError


def test_each_size_has_a_row_for_each_number_of_clients(tiny_served):
    table = sizes.by_catalogue_size(tiny_served.small, [10, 60], clients=[1, 2], seconds=0.3)
    # its own catalogue has 40 items: there is nothing of ten
    assert table.select("items", "clients").rows() == [(60, 1), (60, 2)]
    assert table["errors"].sum() == 0
    assert table["recall_at_k"].to_list() == [1.0, 1.0]
    assert (table["p99_ms"] >= table["p50_ms"]).all()
    assert (table["memory_bytes"] > 0).all()


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match="must be positive, got .*0"):
        sizes.run(items=0)
