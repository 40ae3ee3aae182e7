"""A service that leaves a slot to chance, as clients see it."""

import time

import numpy as np
import pytest

from recbench.refresh import Registry

N = 600


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("exploring")


@pytest.fixture(scope="module")
def service(workspace, served_toy):
    registry = Registry(workspace / "registry")
    registry.publish(served_toy.seal(registry).release.manifest.release)
    running = served_toy.RunningService(
        workspace,
        "--explore",
        "traffic=0.5,slots=1,first_slot=0,pool=3,temperature=2,even=0.3",
        "--explore-off",
        str(workspace / "off"),
    )
    yield running.until_ready()
    assert running.stop() == 0, running.said


def test_declared_share_is_drawn_and_logged_chances_are_those_of_what_is_shown(service):
    lists = [service.recommend(user_id=99, k=2)["items"] for _ in range(N)]
    by_rule = [items for items in lists if items[0]["propensity"] is None]
    by_chance = [items for items in lists if items[0]["propensity"] is not None]
    assert abs(len(by_chance) / N - 0.5) < 4.5 * np.sqrt(0.25 / N)
    assert len({tuple(item["item_id"] for item in items) for items in by_rule}) == 1
    best = by_rule[0][0]["item_id"]
    inverse = {}
    for first, second in by_chance:
        assert second == {**by_rule[0][0], "position": 1}
        inverse.setdefault(first["item_id"], []).append(first["propensity"])
    assert len(inverse) == 3  # of four items, the best is the rule's
    assert best not in inverse
    for chances in inverse.values():
        assert len(set(chances)) == 1
        share, chance = len(chances) / len(by_chance), chances[0]
        assert abs(share - chance) < 4.5 * np.sqrt(chance * (1 - chance) / len(by_chance))
    assert sum(chances[0] for chances in inverse.values()) == pytest.approx(1)
    metrics = service.get("/metrics").body.decode()
    assert f"recbench_explored_total {len(by_chance)}" in metrics


def test_switch_ends_exploration_at_once(service, workspace):
    (workspace / "off").touch()
    time.sleep(0.7)  # it is looked at twice a second
    lists = [service.recommend(user_id=99, k=2)["items"] for _ in range(40)]
    assert all(item["propensity"] is None for items in lists for item in items)
    (workspace / "off").unlink()
