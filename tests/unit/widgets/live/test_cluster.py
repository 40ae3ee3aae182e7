"""The cluster panel on a real cluster of this machine."""

import os
import re
import signal
import time

import pytest

from recbench.cluster.open import open_cluster
from recbench.widgets.cluster import workers_table
from recbench.widgets.live import cluster_panel

pytestmark = [pytest.mark.slow]
PATIENCE_S = 120


@pytest.fixture(scope="module")
def client():
    with open_cluster("local", minimum=1, maximum=1) as opened:
        yield opened


def facts(panel):
    return dict(
        re.findall(r"<tr><td[^>]*>([^<]*)</td><td[^>]*>([^<]*)</td></tr>", panel.below.value)
    )


def until(holds):
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.1)


def test_workers_tell_their_tasks_and_times(client):
    assert client.submit(sum, [1, 2]).result() == 3
    table = workers_table(client)
    assert len(table) == 1
    (worker,) = table.rows(named=True)
    assert worker["state"] == "running"
    assert worker["threads"] == 1
    assert worker["cpu_s"] > 0
    assert worker["alive_s"] > 0


def test_the_slider_holds_the_number_of_workers(client):
    panel = cluster_panel(client, price_per_h=0.5)
    assert facts(panel)["workers"] == "1"
    panel.dials["n_workers"].value = 2
    until(lambda: len(client.scheduler_info()["workers"]) == 2)
    panel.look_again()
    assert facts(panel)["workers"] == "2"
    panel.dials["n_workers"].value = 1
    until(lambda: len(client.scheduler_info()["workers"]) == 1)


def test_workers_that_have_gone_stay_in_the_figures(client):
    panel = cluster_panel(client, price_per_h=3600.0)
    before, cost = int(facts(panel)["workers gone"]), float(facts(panel)["cost"].split()[0])
    panel.dials["n_workers"].value = 2
    until(lambda: len(client.scheduler_info()["workers"]) == 2)
    time.sleep(1.5)  # it tells its times
    (pid, *_) = client.run(os.getpid).values()
    os.kill(pid, signal.SIGKILL)
    panel.dials["n_workers"].value = 1
    until(lambda: panel.look_again() or int(facts(panel)["workers gone"]) > before)
    until(lambda: panel.look_again() or facts(panel)["workers"] == "1")

    assert float(facts(panel)["cost"].split()[0]) > cost + 1.0


def test_the_price_changes_the_cost(client):
    panel = cluster_panel(client)
    assert facts(panel)["cost"] == "0 at 0 a worker and hour"
    panel.dials["price_per_h"].value = 3600.0
    assert facts(panel)["cost"].endswith("at 3600 a worker and hour")
    assert float(facts(panel)["cost"].split()[0]) > 0


def test_who_joined_by_an_address_cannot_scale(client):
    with open_cluster(client.scheduler.address) as joined:
        panel = cluster_panel(joined)
        assert set(panel.dials) == {"price_per_h"}
        assert facts(panel)["workers"] == "1"
