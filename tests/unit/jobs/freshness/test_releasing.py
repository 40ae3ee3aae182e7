"""A release of the experiment is made as production makes one: gated, written, published."""

from dataclasses import dataclass

import numpy as np
import pytest
from safetensors.numpy import load_file

from recbench.jobs.freshness.releasing import Releasing, keeps_quality
from recbench.models.streaming.retrained import NextItemCounters
from recbench.refresh import Registry
from recbench.tables.click_stream import ClickStream

HOUR = 3_600_000_000


@pytest.fixture
def stream(toy_log):
    return ClickStream.of(toy_log.events)


@pytest.fixture
def counters(stream):
    """As of the middle of the log, and that instant."""
    at = int(stream.known_at[len(stream) // 2])
    return NextItemCounters.nothing(stream).learned(stream, to=at), at


def releasing(tmp_path, **more):
    dials = {"learn": lambda state, to: state + to, "parts": lambda state: {"a": np.array([state])}}
    return Releasing(Registry(tmp_path / "registry"), "toy", "masked", **(dials | more))


def test_what_it_makes_lies_published_in_files_and_the_parent_can_be_gone_back_to(tmp_path):
    made = releasing(tmp_path)

    states = [made.make(0, 5), made.make(5, 7), made.make(12, 8)]

    assert states == [5, 12, 20]
    current = made.registry.open()  # verifies every checksum
    assert load_file(current.path("state.safetensors"))["a"].tolist() == [20]
    assert current.manifest.watermark.startswith("1970-01-01T00:00:00.000008")
    assert len(made.registry.releases()) == 2
    assert current.manifest.parent == made.registry.earlier()[0]


def test_what_the_gate_holds_back_is_not_published_and_the_first_has_nothing_to_meet(tmp_path):
    made = releasing(tmp_path, passes=lambda parent, candidate, to: False)

    assert made.make(0, 5) == 5
    before = made.registry.current()
    assert made.make(5, 7) is None
    assert made.registry.current() == before


@dataclass(frozen=True)
class Damaged:
    """A model whose scores were changed on the way."""

    model: NextItemCounters
    factor: float

    def scores(self, histories):
        return self.model.scores(histories).toarray() * self.factor


def test_the_gate_lets_a_refresh_pass_and_holds_what_is_broken(stream, counters):
    parent, at = counters
    later = at + 6 * HOUR
    candidate = parent.learned(stream, to=later)

    assert keeps_quality(parent, candidate, later, stream=stream)
    for factor in (-1.0, float("nan")):
        assert not keeps_quality(parent, Damaged(candidate, factor), later, stream=stream)


def test_the_gate_sees_nothing_from_the_watermark_on(stream, counters):
    parent, at = counters
    asked = []

    @dataclass(frozen=True)
    class Listening(Damaged):
        def scores(self, histories):
            asked.append(histories)
            return super().scores(histories)

    model = Listening(parent, 1.0)
    keeps_quality(model, model, at, stream=stream)

    n_known = int(stream.n_known(at))
    known = asked[0].item_rows[:, 0] >= 0
    newest = stream.order[asked[0].ends[known] - 1]
    assert len(asked[0]) == min(256, n_known)
    assert known.any()
    assert (newest < n_known - 1).all()
