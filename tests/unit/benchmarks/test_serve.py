"""The bench of the service, at a tiny size."""

import json
from urllib.request import Request, urlopen

import numpy as np
import polars as pl
import pytest

from recbench.benchmarks import serve
from recbench.benchmarks.bare_stack import bare_service
from recbench.benchmarks.full_service import online_snapshot
from recbench.benchmarks.service_load import Questions
from recbench.errors import InputError, JobError
from recbench.events.broker import embedded_broker
from recbench.features.online.state import OnlineState
from recbench.features.shipped import SHIPPED_FEATURES
from recbench.refresh.contents import Contents
from recbench.serving.load.arrivals import poisson_arrivals
from recbench.serving.served_release import ServedRelease


def test_every_figure_is_measured_on_a_real_service(monkeypatch, trained):
    monkeypatch.setattr(serve, "trained_release", trained)
    monkeypatch.setattr(serve, "WARM_S", 0.2)
    monkeypatch.setattr(serve, "TOOL_S", 0.2)
    result = serve.run(events=10_000, items=90, seconds=0.3)
    figures = result.figures
    assert set(figures) == set(serve.KEYS)
    assert figures["errors"] == figures["fallbacks"] == 0
    assert 0 < figures["p50_ms"] <= figures["p90_ms"] <= figures["p99_ms"] <= figures["p999_ms"]
    assert figures["floor_p50_ms"] > 0
    assert 0 < figures["bare_p50_ms"] <= figures["bare_p99_ms"]
    assert figures["vs_bare"] == figures["bare_p99_ms"] / figures["p99_ms"]
    assert figures["exposed_frac"] == 1.0
    due = poisson_arrivals(figures["saturation_rps"] / 2, seconds=0.3, seed=0)
    assert figures["offered_rps"] == pytest.approx(len(due) / due.max())


def test_the_floor_calls_tower_and_index_for_every_user(tiny_served):
    questions = Questions(tiny_served.releases[0], n_users=7)
    taken = serve.floor_ms(tiny_served.releases[0], questions)
    assert len(taken) == serve.LEAST_CALLS
    assert (taken > 0).all()


def test_the_bare_stack_gives_the_list_of_tower_and_index(tiny_served):
    release = tiny_served.registry.open()
    questions = Questions(release, n_users=2)
    served = ServedRelease.load(release)
    with bare_service(tiny_served.workspace, workers=1) as bare:
        url = f"http://127.0.0.1:{bare.target.port}/recommend"
        answers = [json.load(urlopen(Request(url, body))) for body in questions.bodies]
    for user, answer in zip(questions.users.tolist(), answers, strict=True):
        query = served.query_embeddings([served.known(served.histories.row(user))])
        rows, _ = served.index.search(query, k=20)
        assert answer["release"] == release.manifest.release
        assert [item["item_id"] for item in answer["items"]] == served.items.ids[rows[0]].tolist()


def test_the_online_store_knows_what_the_release_knows(tiny_served, tmp_path):
    release = tiny_served.releases[0]
    online_snapshot(release, tmp_path / "online.safetensors")
    state = OnlineState.restore(tmp_path / "online.safetensors", SHIPPED_FEATURES)
    interactions = Contents.read(release).interactions
    user = int(interactions["user_id"][-1])
    own = interactions.filter(pl.col("user_id") == user, pl.col("clicked"))
    found = state.lookup("user_id", user, at_us=release.manifest.watermark_us + 1)
    assert found["user_last_50_items"] == own["item_id"].tail(50).to_list()


def test_lost_exposures_are_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(serve, "DELIVERY_S", 0.5)
    with embedded_broker(tmp_path) as broker:
        broker.create_topic(serve.TOPIC, partitions=1)
        with pytest.raises(JobError, match="has 0 exposures of 1 that were shown"):
            serve._n_messages(broker, at_least=1)


@pytest.mark.parametrize("sizes", [{"runs": 0}, {"events": 0}, {"items": 0}, {"seconds": 0.0}])
def test_nothing_to_measure_is_refused(sizes):
    with pytest.raises(InputError, match="must be positive"):
        serve.run(**sizes)


def test_the_cost_of_the_tool_is_a_median():
    from recbench.serving.load import load_process

    with load_process() as pool:
        assert np.isfinite(serve.tool_ms(pool, [b"{}"], seconds=0.2))
