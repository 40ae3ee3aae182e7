"""The gate on a log of its own: what is tried, what is counted."""

from dataclasses import replace

import pytest

from recbench.errors import InputError
from recbench.jobs.gate_trials import GateTrials
from recbench.jobs.prequential import Prequential
from recbench.refresh.gate import Limits
from recbench.settings import RefreshSettings

# a log this small has no power; here it counts what comes, not how good it is
LOOSE = Limits(fewest_decided=2, z=0.5)


@pytest.fixture(scope="module")
def line(tiny_data, tiny_experiment, tmp_path_factory):
    log = Prequential.of(
        tiny_data,
        n_windows=10,
        share=0.04,
        experiment=tiny_experiment,
        settings=RefreshSettings(steps=2),
        folder=tmp_path_factory.mktemp("prequential"),
        k=5,
    )
    return GateTrials.of(log, limits=LOOSE)


def test_each_refresh_starts_from_the_one_before(line):
    assert len(line.places) == len(line.done) == len(line.measured) == line.n_windows == 10
    for place, done, after in zip(line.places, line.done, line.places[1:], strict=False):
        assert done.before.at == place.parent.at
        assert after.parent is done.state
    assert line.places[0].notes.anchor is None
    assert line.places[1].notes.anchor == "0"
    assert line.places[3].states["2"] is line.places[2].parent


def test_without_a_fault_every_turn_is_judged_by_other_users(line):
    trials = line.healthy(turns=2)
    assert [(trial.window, trial.seed) for trial in trials[:3]] == [(0, 0), (0, 1), (1, 0)]
    assert {trial.fault for trial in trials} == {""}


def test_a_fault_costs_what_it_is_to_cost(line):
    trials = line.one_shot(costs=[0.3], n=1)
    assert trials
    for trial in trials:
        assert 0.3 <= trial.cost <= 0.45
        assert trial.caught != bool(trial.published)
        assert bool(trial.reason) == trial.caught


def test_a_lasting_fault_is_followed_until_it_is_caught(line):
    trials = line.lasting(costs=[0.3], n=1)
    assert trials
    assert all(trial.lasting and 0 <= trial.published <= 8 for trial in trials)
    missed = [trial for trial in trials if not trial.caught]
    assert all(trial.published == 8 for trial in missed)


def test_a_fault_that_nothing_measures_is_never_caught(line, monkeypatch):
    never = {"level": 1e-300, "step_level": 1e-300}
    quiet = replace(LOOSE, z=1e9, drift=1e9, total_drift=1e9, calibration=1e9, **never)
    monkeypatch.setattr(line, "limits", quiet)
    assert not any(trial.caught for trial in line.lasting(costs=[0.3], n=1))


def test_too_few_windows_for_a_lasting_fault_are_refused(line):
    with pytest.raises(InputError, match="above 9, got 5"):
        GateTrials.of(replace(line.log, edges=line.log.edges[:6]))
