"""The bench of swaps, at a tiny size."""

import time

import polars as pl
import pytest

from recbench.benchmarks import beside, swap
from recbench.benchmarks.mixed import Verified
from recbench.benchmarks.swap import Swapped
from recbench.errors import InputError, JobError
from recbench.serving.load import Answers


def swapped(*, due_s, latency_ms, release, published):
    frame = pl.DataFrame(
        {
            "due_s": due_s,
            "sent_s": due_s,
            "done_s": [due + ms / 1e3 for due, ms in zip(due_s, latency_ms, strict=True)],
            "latency_ms": latency_ms,
            "error": pl.Series([None] * len(due_s), dtype=pl.String),
            "release": release,
            "fallback": pl.Series([None] * len(due_s), dtype=pl.String),
        }
    )
    answers = Answers(frame, began_at=0.0, tool_cpu_s=0.0)
    calm = Answers(frame[:1], began_at=0.0, tool_cpu_s=0.0)
    return Swapped(
        answers,
        published,
        Verified(len(due_s), 1, 0.9, 2),
        calm,
        [300.0, 400.0],
        [900.0, 600.0, 600.0],
    )


def test_figures_tell_what_came_near_a_swap_apart():
    figures = swapped(
        due_s=[0.0, 1.5, 2.5, 5.0],
        latency_ms=[1.0, 4.0, 9.0, 2.0],
        release=["A", "A", "B", "B"],
        published=[("B", 1.0)],
    ).figures()
    # published at 1 s: what was due until 2 s is near it; B first answers at 2.5 s + 9 ms
    assert figures["near_swap_p99_ms"] == 4.0
    assert figures["open_p99_ms"] == 9.0
    assert figures["calm_p99_ms"] == 1.0
    assert figures["vs_calm"] == pytest.approx(1 / 9)  # slower than in calm
    assert figures["published_to_served_s"] == pytest.approx(1.509)
    assert figures["swaps"] == 1
    assert figures["mixed_releases"] == 1
    assert figures["failed_requests"] == 0
    assert figures["recall_at_k"] == 0.9
    assert (figures["offered_rps"], figures["saturation_rps"]) == (350.0, 700.0)
    assert figures["most_offered_frac"] == pytest.approx(400 / 600)  # 300 of 750 before


@pytest.mark.alone  # what lays releases out has idle time only
@pytest.mark.slow
def test_releases_are_swapped_while_a_model_is_trained(monkeypatch, trained):
    monkeypatch.setattr(swap, "trained_release", trained)
    monkeypatch.setattr(swap, "WARM_S", 0.2)
    monkeypatch.setattr(swap, "PROBE_S", 0.3)
    monkeypatch.setattr(swap, "LEAST_PER_S", 60.0)
    monkeypatch.setattr(swap, "saturation_per_s", lambda _: 100.0)  # half of it is too little
    monkeypatch.setattr(swap, "ROUND", 2)
    result = swap.run(events=10_000, items=90, swaps=3, every_s=2.0, beside=True)
    assert set(result.figures) == set(swap.KEYS)
    # Poisson over 12 s and 10 s: within four standard errors
    error_rps = 4 * (60 / 12 + 60 / 10) ** 0.5 / 2
    assert result.figures["offered_rps"] == pytest.approx(60, abs=error_rps)
    assert result.figures["saturation_rps"] == 100.0
    assert result.figures["most_offered_frac"] == pytest.approx(0.6, abs=4 * (60 / 10) ** 0.5 / 100)
    assert result.figures["failed_requests"] == result.figures["mixed_releases"] == 0
    # a service that has no time for idle work may pass over a release, or be late for the last one
    assert 1 <= result.figures["swaps"] <= 3
    assert result.figures["recall_at_k"] == 1.0


@pytest.mark.alone  # it has idle time only
@pytest.mark.slow
def test_a_training_leaves_no_folder_behind(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # that of its process
    with beside.training(seed=0):
        deadline = time.monotonic() + 60
        while not list(tmp_path.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "sizes", [{"runs": 0}, {"events": 0}, {"items": 0}, {"swaps": 0}, {"per_s": 0.0}]
)
def test_nothing_to_swap_is_refused(sizes):
    with pytest.raises(InputError, match="must be positive"):
        swap.run(**sizes)


def test_a_training_that_never_begins_is_noticed(monkeypatch):
    monkeypatch.setattr(beside, "BEGIN_S", 0.0)
    with pytest.raises(JobError, match="No training had begun after 0 s"), beside.training(seed=0):
        pass
