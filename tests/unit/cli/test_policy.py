"""`recbench policy` as a user calls it, over a real broker."""

import json

import numpy as np
import pytest
from confluent_kafka import Producer

from recbench.cli import main
from recbench.events.broker import embedded_broker
from recbench.policy.logged_context import encoded_contexts

START_US = 1_790_000_000_000_000
SECOND = 1_000_000


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with embedded_broker(tmp_path_factory.mktemp("broker")) as started:
        yield started


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path))
    return tmp_path


def shown(request, item, *, context, at_s=0, **more):
    event = {"user_id": request, "item_id": item, "request_id": request, "position": 0}
    event |= {"ts": START_US + at_s * SECOND, "clicked": False, "context": context}
    return event | more


def watched(request, item, *, at_s, watch_ms):
    event = {"user_id": request, "item_id": item, "request_id": request, "watch_ms": watch_ms}
    return event | {"ts": START_US + at_s * SECOND, "clicked": True}


def send(broker, topic, events):
    broker.create_topic(topic, partitions=1)
    producer = Producer(broker.client_settings())
    for event in events:
        producer.produce(topic, json.dumps(event).encode())
    assert producer.flush(120) == 0


def learn(broker, topic, *options):
    where = ["--bootstrap-servers", broker.bootstrap_servers, "--topic", topic, "--until-end"]
    main(["policy", "learn", *where, "--window", "1m", "--allowed-lateness", "0s", *options])


def test_bad_lines_are_counted_and_never_learnt(broker, workspace, capsys, tmp_path):
    context = encoded_contexts(np.ones((1, 3)))[0]
    send(
        broker,
        "bad",
        [
            shown(1, 7, context=context, propensity=0.5),
            shown(1, 7, context=context, propensity=0.5),  # sent twice
            shown(2, 7, context=context, propensity=0.0),
            shown(3, 7, context=context, propensity=1.5),
            shown(4, 7, context=context),  # by rule: it teaches, though no estimate can use it
            shown(5, 7, context=encoded_contexts(np.ones((1, 4)))[0]),
            shown(6, 7, context=None),
            {"user_id": 1, "item_id": 7},
            watched(1, 7, at_s=30, watch_ms=30_000),
            watched(4, 7, at_s=61, watch_ms=60_000),  # too late
            watched(99, 7, at_s=30, watch_ms=60_000),  # on nothing that was shown
            shown(8, 7, context=context, at_s=600),
        ],
    )
    learn(broker, "bad", "--reward", "watch", "--json", str(tmp_path / "told.json"))
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["n_dead_letters"] == 3  # two are no chances, one says no time
    assert (told["n_repeats"], told["n_without_context"]) == (1, 2)
    assert (told["n_late"], told["n_unknown"]) == (1, 1)
    assert told["n_events"] == 2
    assert told["reward_sum"] == pytest.approx(0.5)
    assert told["n_pending"] == 1
    assert "2 exposures had no context of this policy's size" in capsys.readouterr().err
    main(["policy", "show", str(workspace / "policy" / "bad.safetensors")])
    printed = capsys.readouterr().out
    assert "reward_sum" in printed
    assert "earns" in printed


def test_snapshot_goes_on_only_with_what_it_was_learnt_from(broker, workspace, capsys):
    context = encoded_contexts(np.ones((1, 3)))[0]
    for topic in ("one", "other"):
        send(broker, topic, [shown(1, 7, context=context)])
    out = str(workspace / "policy.safetensors")
    learn(broker, "one", "--out", out)
    for topic, options, why in (
        ("other", [], "which is none of"),
        ("one", ["--reward", "watch"], "was learnt with `watch_share` 0.0, got 1.0"),
        ("one", ["--neural"], "was learnt with `neural` False, got True"),
    ):
        with pytest.raises(SystemExit) as leaving:
            learn(broker, topic, "--out", out, *options)
        assert leaving.value.code == 2
        assert why in capsys.readouterr().err


def test_what_cannot_be_read_is_refused(broker, workspace, capsys, tmp_path):
    (tmp_path / "none").write_text("no snapshot")
    for arguments, why in (
        (["show", str(tmp_path / "none")], "is no snapshot of a learner"),
        (
            ["learn", "--topic", "nowhere", "--bootstrap-servers", broker.bootstrap_servers],
            "has no topic `nowhere`",
        ),
    ):
        with pytest.raises(SystemExit) as leaving:
            main(["policy", *arguments])
        assert leaving.value.code == 2
        assert why in capsys.readouterr().err
