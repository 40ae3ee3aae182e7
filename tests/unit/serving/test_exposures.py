"""What was shown becomes messages that the ingester and the joiner understand."""

import json
from datetime import timedelta

import numpy as np
import pytest

from recbench import columns as c
from recbench.errors import InputError
from recbench.events.joiner import Joiner
from recbench.events.messages import MessageDecoder, Messages
from recbench.events.served_features import with_features
from recbench.events.shown import LabelWindows
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.policy.stream import FIELDS
from recbench.serving.answer import Chances, Floored
from recbench.serving.exposures import KafkaExposures, exposure_messages
from recbench.serving.options import ExposureLog

NOWHERE = "127.0.0.1:1"
TS_US = 1_790_000_000_000_000
SERVED = {"user_clicks_1h": 2.0, "user_watch_ms_5m": 0.0}
SHOWN = {"served": SERVED, "ts_us": TS_US}


def messages(*item_ids, **more):
    shown = {"user_id": 7, "request_id": 5, "release": "r1"} | SHOWN
    return exposure_messages(list(item_ids), **shown | more)


def decoded(values):
    n = len(values)
    return MessageDecoder("test").decode(
        Messages(
            values,
            [None] * n,
            np.zeros(n, np.int32),
            np.arange(n),
            [TS_US // 1_000] * n,
        )
    )


def test_the_ingester_reads_every_field():
    read = decoded(messages(10, 20))
    assert not len(read.dead_letters)
    rows = read.events.select(
        c.USER_ID, c.ITEM_ID, c.CLICKED, c.POSITION, c.PROPENSITY, c.REQUEST_ID
    ).rows()
    assert rows == [(7, 10, False, 0, None, 5), (7, 20, False, 1, None, 5)]
    assert read.events[c.TS].dt.epoch("us").to_list() == [TS_US] * 2
    assert json.loads(read.events[c.EXTRA][0]) == {"release": "r1"}


def test_slots_of_chance_are_read_with_their_propensities_and_the_others_without():
    chances = Chances([None, 0.25], [None, 0.125], 0.001)
    read = decoded(messages(10, 20, chances=chances))
    assert not len(read.dead_letters)
    assert read.events[c.PROPENSITY].to_list() == [None, 0.25]
    assert read.events[c.POSITION].to_list() == [0, 1]
    assert json.loads(read.events[c.EXTRA][1]) == {
        "release": "r1",
        "slot_propensity": 0.125,
        "least_propensity": 0.001,
    }


def test_what_a_policy_and_a_floor_add_is_read_as_it_was_logged():
    floor = Floored(is_kept=False, chance=0.05, is_protected=[True, False])
    chances = Chances([0.5, None], [None] * 2, 0.001, ["AAAA", "AACA"], "the-fit", floor)
    values = messages(10, 20, chances=chances)
    asked = Messages(values, [None] * 2, np.zeros(2, np.int32), np.arange(2), [TS_US // 1_000] * 2)
    rows = MessageDecoder("test", fields=FIELDS).decode(asked).events
    assert rows[c.CONTEXT].to_list() == ["AAAA", "AACA"]
    assert rows[c.TOWERS].to_list() == ["the-fit"] * 2
    assert rows.select(c.FLOOR_KEPT, c.FLOOR_CHANCE, c.PROTECTED).rows() == [
        (False, 0.05, True),
        (False, 0.05, False),
    ]
    told = json.loads(decoded(values).events[c.EXTRA][0])  # where nobody asks for columns
    assert (told["floor_kept"], told["floor_chance"], told["protected"]) == (False, 0.05, True)


def test_the_joiner_makes_examples_of_them_with_the_features_as_served():
    click = {"user_id": 7, "item_id": 20, "ts": TS_US + 1_000_000, "request_id": 5}
    rows = decoded([*messages(10, 20), json.dumps(click).encode()]).events
    joiner = Joiner(LabelWindows(label=timedelta(minutes=10), correction=timedelta(0)))
    after = rows[c.TS].max() + timedelta(hours=1)
    examples = joiner.feed(rows, watermark=after)
    with_served = with_features(examples, rows.lazy(), DEFAULT_WINDOW_FEATURES).sort(c.POSITION)
    assert with_served[c.CLICKED].to_list() == [False, True]
    assert with_served["user_clicks_1h"].to_list() == [2, 2]
    assert with_served["features_source"].unique().to_list() == ["served"]
    assert with_served.schema["user_clicks_1h"].is_integer()


def test_shares_stay_numbers():
    (message,) = messages(10, served={"user_ctr_1h": 0.25, "user_clicks_1h": 3.0})
    assert b'"user_ctr_1h":0.25,"user_clicks_1h":3}' in message


@pytest.fixture
def counted():
    """Exposures to a broker that is not there, and what becomes of them."""
    counts = {}

    def count(outcome, by):
        counts[outcome] = counts.get(outcome, 0) + by

    log = ExposureLog(bootstrap_servers=NOWHERE, queue=50, settings={"message.timeout.ms": "200"})
    exposures = KafkaExposures(log, count)
    yield exposures, counts
    exposures.close()


def test_a_full_queue_drops_and_counts(counted):
    exposures, counts = counted
    for request_id in range(4):
        exposures.shown(list(range(20)), user_id=1, request_id=request_id, release="r", **SHOWN)
    assert counts == {"queued": 50, "dropped": 30}


def test_what_is_never_delivered_is_counted_as_failed(counted):
    exposures, counts = counted
    exposures.shown([1, 2], user_id=1, request_id=1, release="r", **SHOWN)
    exposures.close()
    assert counts == {"queued": 2, "failed": 2}


def test_a_list_for_nobody_is_nobodys_event(counted):
    exposures, counts = counted
    exposures.shown([1, 2, 3], user_id=None, request_id=1, release="r", **SHOWN)
    assert counts == {"anonymous": 3}


def test_a_setting_that_librdkafka_refuses_is_named():
    log = ExposureLog(bootstrap_servers=NOWHERE, settings={"no.such": "1"})
    with pytest.raises(InputError, match='librdkafka refuses the settings.*"no.such"'):
        KafkaExposures(log, lambda *_: None)
