"""The ingest benchmark at a small size."""

import numpy as np
import pytest

from recbench.benchmarks import ingest
from recbench.benchmarks.streams import generated_stream
from recbench.benchmarks.visible import event_to_feature_ms
from recbench.errors import InputError
from recbench.events.broker import embedded_broker
from recbench.events.encode import encode_events


def test_figures_are_ratios_of_the_measured_seconds(monkeypatch):
    monkeypatch.setattr(ingest, "event_to_feature_ms", lambda *_, **__: np.arange(101.0))
    result = ingest.run(runs=1, events=3_000)
    (measured,) = result.runs
    assert result.figures["events_per_s"] == 3_000 / measured["ours_s"]
    assert result.figures["vs_raw_consume"] == measured["raw_s"] / measured["ours_s"]
    assert result.figures["vs_tuned_consume"] == measured["tuned_s"] / measured["ours_s"]
    assert result.figures["event_to_feature_p99_ms"] == 99.0


def test_every_event_that_is_sent_is_seen(tmp_path):
    with embedded_broker(tmp_path / "broker") as broker:
        delays = event_to_feature_ms(broker, events_per_s=500, seconds=1, folder=tmp_path / "lake")
    assert len(delays) == 450  # the first tenth is left out
    assert (delays >= -1).all()  # the clocks are one, to the millisecond


def test_messages_are_about_as_long_as_they_are_said_to_be():
    lengths = [len(message) for message in encode_events(generated_stream(1_000, seed=0))]
    assert 150 < np.mean(lengths) < 250


@pytest.mark.parametrize("sizes", [{"runs": 0}, {"events": 0}])
def test_nothing_to_measure_is_refused(sizes):
    with pytest.raises(InputError, match="must be at least 1"):
        ingest.run(**sizes)
