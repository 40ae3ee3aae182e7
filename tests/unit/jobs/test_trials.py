"""What is counted of trials, by hand."""

from dataclasses import replace

import pytest

from recbench.jobs.trials import Trial, as_frame, reasons, shares, summary


def trial(caught, *, lasting=False, wanted=0.2, fault="dropped feature"):
    return Trial(
        fault=fault,
        lasting=lasting,
        wanted=wanted,
        cost=wanted,
        window=0,
        seed=0,
        caught=caught,
        reason="",
        published=0,
    )


def test_shares_are_counted_by_kind_and_together():
    trials = as_frame(
        [trial(True), trial(False), trial(True, fault="stale index"), trial(False, wanted=0.0)]
    )
    found = shares(trials)
    assert found.filter(fault="all", wanted=0.2)["caught"].item() == pytest.approx(2 / 3)
    assert found.filter(fault="dropped feature")["n"].item() == 2
    assert found.filter(wanted=0.0)["fault"].to_list() == ["all"]
    # Wilson, 1 of 2 at 95 %: 0.5 -+ 0.4055
    low, high = found.filter(fault="dropped feature").select("low", "high").row(0)
    assert (low, high) == pytest.approx((0.0945, 0.9055), abs=1e-4)


def test_reasons_are_counted():
    caught = replace(trial(True), reason="drift")
    found = reasons(as_frame([caught, caught, trial(False)]))
    assert found.select("reason", "n").rows() == [("", 1), ("drift", 2)]


def test_the_summary_names_kind_and_cost():
    trials = as_frame([trial(True, lasting=True, wanted=0.05), trial(False, wanted=0.0)])
    assert summary(trials) == {
        "false_alarms": 0.0,
        "false_alarms/n": 1,
        "caught/lasting/0.05": 1.0,
        "caught/lasting/0.05/n": 1,
    }
