"""When memory counts as flat."""

from contextlib import nullcontext
from functools import partial

import pytest

from recbench.benchmarks import soak
from recbench.benchmarks.trained_release import trained_release
from recbench.errors import InputError, JobError


def test_what_is_filled_once_is_no_growth():
    assert soak.growth_frac([100, 200, 200, 200]) == 0.0
    assert soak.growth_frac([100, 200, 250, 300]) == 0.5
    assert soak.growth_frac([7]) == 0.0


def test_nothing_to_soak_is_refused():
    with pytest.raises(InputError, match=r"must be positive, got \(250000, 100000, 0, 0.5\)"):
        soak.run(seconds=0)


@pytest.mark.long(170)
@pytest.mark.slow
def test_two_minutes_of_a_soak_are_without_error_and_growth(monkeypatch):
    monkeypatch.setattr(soak, "trained_release", partial(trained_release, steps=2))
    # other tests run beside it: a tenth is offered, so that nobody waits when they take the cores
    result = soak.run(events=20_000, items=20_000, seconds=120, load_frac=0.1)
    assert result.figures["requests"] > 1_000
    assert result.figures["errors"] == result.figures["fallbacks"] == 0
    assert result.figures["memory_growth_frac"] <= soak.MOST_GROWTH
    assert len(result.runs) == 12


def test_errors_and_growth_end_a_soak(monkeypatch, trained):
    piece = {"requests": 10, "errors": 0, "fallbacks": 0, "offered_per_s": 1.0, "p99_ms": 2.0}
    grown = [piece | {"memory_bytes": held} for held in (100, 100, 100, 111)]
    monkeypatch.setattr(soak, "_pieces", lambda *_, **__: grown)
    monkeypatch.setattr(soak, "trained_release", trained)
    monkeypatch.setattr(soak, "RunningService", _NoService)
    with pytest.raises(JobError, match="memory grew by 11.0%, at most 5% may be"):
        soak.run(events=10_000, items=90, seconds=1)
    grown[0]["errors"] = 1
    with pytest.raises(JobError, match="Of 40 requests 1 failed and 0 were answered by a fallback"):
        soak.run(events=10_000, items=90, seconds=1)


class _NoService:
    @staticmethod
    def start(_):
        return nullcontext()
