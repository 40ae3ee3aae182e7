"""What the service notes of a list, once it is sent."""

import time
from multiprocessing import get_context

import pytest

from recbench.refresh import Registry
from recbench.serving.live import LiveRelease
from recbench.serving.metrics import Metrics, shared_metrics
from recbench.serving.options import Limits
from recbench.serving.service import Service, wall_clock_us


class Noted:
    """Exposures that are kept."""

    def __init__(self):
        self.all = []

    def shown(self, item_ids, **more):
        self.all.append({"item_ids": item_ids} | more)


@pytest.fixture
def noted():
    return Noted()


@pytest.fixture
def service(seal_toy, tmp_path, noted):
    registry = Registry(tmp_path / "registry")
    registry.publish(seal_toy().release.manifest.release)
    live = LiveRelease(registry)
    live.renew()
    metrics = Metrics(shared_metrics(get_context("spawn"), 1), 0)
    return Service(live, None, noted, metrics, limits=Limits())


def test_a_list_was_shown_before_it_was_sent_however_late_it_is_noted(service, noted):
    before = wall_clock_us()
    (listed,) = service.recommend_all([b'{"user_id": 1, "k": 2}'])
    sent = wall_clock_us()
    assert not noted.all
    time.sleep(0.002)  # the client may click meanwhile
    listed.note()
    (shown,) = noted.all
    assert before <= shown["ts_us"] <= sent


def test_every_list_has_an_id_of_its_own(service, noted):
    bodies = [b'{"user_id": 1, "k": 1}'] * 1_100  # more than are drawn at once
    for listed in service.recommend_all(bodies):
        listed.note()
    ids = {shown["request_id"] for shown in noted.all}
    assert len(ids) == 1_100
    assert 0 <= min(ids) <= max(ids) < 2**63
    assert max(ids) - min(ids) > 2**62  # spread over all of it
