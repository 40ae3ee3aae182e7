"""Windows of a log for four arms: asked the same, judged before learning, graded once."""

from itertools import pairwise

import polars as pl
import pytest

from recbench import columns as c
from recbench.errors import InputError
from recbench.jobs.prequential import ARMS, Prequential, window_edges
from recbench.settings import RefreshSettings


@pytest.fixture(scope="module")
def compared(tiny_data, tiny_experiment, tmp_path_factory):
    return Prequential.of(
        tiny_data,
        n_windows=3,
        share=0.05,
        experiment=tiny_experiment,
        settings=RefreshSettings(steps=2),
        folder=tmp_path_factory.mktemp("prequential"),
        k=5,
    )


def test_windows_are_even_and_end_with_the_log(tiny_data):
    edges = window_edges(tiny_data, n_windows=4, share=0.05)
    ts = tiny_data.events[c.TS].dt.epoch("us")
    assert edges[-1] == ts[-1] + 1
    n = [int(ts.is_between(a, b, closed="left").sum()) for a, b in pairwise(edges)]
    assert n == [120] * 4  # 0.05 * 2400


@pytest.mark.parametrize(("n_windows", "share"), [(0, 0.01), (11, 0.05)])
def test_windows_of_more_than_half_the_log_are_refused(tiny_data, n_windows, share):
    with pytest.raises(InputError, match=f"{n_windows} windows of"):
        window_edges(tiny_data, n_windows=n_windows, share=share)


def test_every_arm_answers_the_same_requests(compared):
    asked = [compared.arm(name).select("window", c.USER_ID) for name in ARMS]
    assert all(other.equals(asked[0]) for other in asked[1:])
    assert asked[0]["window"].unique().to_list() == [0, 1, 2]


def test_in_the_first_window_nobody_has_learned_yet(compared):
    first = [compared.arm(name).filter(pl.col("window") == 0)["value"] for name in ARMS]
    assert all(other.equals(first[0]) for other in first[1:])


def test_what_was_graded_is_not_graded_again(compared, monkeypatch):
    values = compared.arm("refresh")
    monkeypatch.setattr(Prequential, "fitted", None)
    compared.arm("refresh").equals(values)
    (compared._place("refresh")).unlink()  # the windows are still there
    monkeypatch.undo()
    assert compared.arm("refresh").equals(values)


def test_the_table_has_every_arm_for_all_and_known(compared):
    table = compared.table()
    assert table.select("arm", "requests").rows() == [
        (name, group) for group in ("all", "known") for name in ARMS
    ]
    assert table.filter(arm="retrain")["of retrain"][0].startswith("1.0000")


def test_the_summary_holds_the_gap_and_its_slope(compared):
    found = compared.summary()
    assert found["n_windows"] == 3
    assert found["gap_slope_low"] <= found["gap_slope"] <= found["gap_slope_high"]


def test_an_unknown_arm_is_refused(compared):
    with pytest.raises(InputError, match="got 'wishful'"):
        compared.arm("wishful")
