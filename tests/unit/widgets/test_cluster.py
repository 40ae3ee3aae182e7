"""What workers have cost so far; worked out by hand."""

import polars as pl

from recbench.cluster.worker_times import GoneWorkers
from recbench.widgets.cluster import cost_table

WORKERS = pl.DataFrame(
    {"worker": ["a", "b"], "threads": [1, 2], "tasks": [3, 0], "alive_s": [3600.0, 7200.0],
     "cpu_s": [1800.0, 3600.0]}
)  # fmt: skip


def test_money_and_energy_follow_from_the_workers_times():
    told = dict(cost_table(WORKERS, price_per_h=0.5).rows())
    # three hours of workers; 5,400 CPU s at 3.5 W, and 3,600 + 2 * 7,200 - 5,400 s idle at .74 W
    energy_wh = (3.5 * 5400 + 0.74 * 12600) / 3600
    assert told == {
        "workers": "2",
        "workers gone": "0",
        "tasks now": "3",
        "worker time": "3 h",
        "CPU time": "1.5 h",
        "cost": "1.5 at 0.5 a worker and hour",
        "energy": f"{energy_wh:.4g} Wh, by a model",
    }


def test_workers_that_have_gone_are_paid_for():
    gone = GoneWorkers(n_workers=3, alive_s=3600.0, thread_s=7200.0, cpu_s=1800.0)
    told = dict(cost_table(WORKERS, price_per_h=0.5, gone=gone).rows())
    # four hours; 7,200 CPU s, and 18,000 + 7,200 - 7,200 s of threads idle
    assert (told["workers"], told["workers gone"], told["worker time"]) == ("2", "3", "4 h")
    assert told["cost"] == "2 at 0.5 a worker and hour"
    assert told["energy"] == f"{(3.5 * 7200 + 0.74 * 18000) / 3600:.4g} Wh, by a model"


def test_a_meter_goes_before_the_model():
    told = dict(cost_table(WORKERS, price_per_h=0.0, joules=lambda: 7200.0).rows())
    assert told["energy"] == "2 Wh, measured"


def test_no_worker_costs_nothing():
    told = dict(cost_table(WORKERS.clear(), price_per_h=1.0).rows())
    assert (told["workers"], told["worker time"], told["cost"]) == (
        "0",
        "0 s",
        "0 at 1 a worker and hour",
    )
