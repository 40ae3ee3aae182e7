import pytest

from recbench.benchmarks.policy import run
from recbench.errors import InputError


def test_every_policy_learns_and_decides():
    result = run(events=2_000, runs=1)
    assert {"updates_per_s", "decision_p99_ms", "neural_linear_p99_ms"} <= set(result.figures)
    assert min(result.figures.values()) > 0
    slowest = ("epsilon_greedy", "lin_ucb", "lin_ts", "neural_linear")
    assert result.figures["decision_p99_ms"] == max(result.figures[f"{n}_p99_ms"] for n in slowest)


def test_too_few_events_are_refused():
    with pytest.raises(InputError, match="at least 1,000, got 5"):
        run(events=5)
