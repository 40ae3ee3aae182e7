"""The world's benchmark at a small size."""

import pytest

from recbench.benchmarks import world
from recbench.errors import InputError, JobError


def test_figures_are_of_the_measured_seconds():
    result = world.run(runs=1, events=20_000)
    measured = result.runs[0]

    assert result.bench == "world"
    assert result.figures["impressions_per_minute"] == 60 / measured["open_s"]
    assert result.figures["learning_per_minute"] == 60 / measured["learning_s"]
    assert result.figures["vs_one_by_one"] == measured["one_by_one_s"] / measured["open_s"]
    assert measured["impressions"] == pytest.approx(20_000, rel=0.2)


def test_a_truth_unlike_the_plain_loops_stops_the_benchmark(monkeypatch):
    right = world.World.outcomes

    def wrong(*arguments):
        found = right(*arguments)
        found.truth.click_probability[7] += 1e-6
        return found

    monkeypatch.setattr(world.World, "outcomes", wrong)
    with pytest.raises(JobError, match="Showing 7: one by one"):
        world.run(runs=1, events=2_000)


@pytest.mark.parametrize("broken", [{"runs": 0}, {"events": 0}])
def test_nothing_to_measure_is_refused(broken):
    with pytest.raises(InputError, match="must be at least 1, got"):
        world.run(**broken)
