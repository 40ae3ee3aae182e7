import itertools
from datetime import UTC, datetime, timedelta

import pytest

from recbench.cluster.charges import CHARGES_VARIABLE, Charge
from recbench.cluster.energy import EnergyMeter
from recbench.cluster.tariff import TARIFF_VARIABLE
from recbench.jobs.cost import RunCost, charges_folder, joules_so_far, told_energy


@pytest.fixture
def charges(tmp_path):
    return charges_folder(tmp_path, n_attempts=1)


def of_worker(kind="ranks", host="elsewhere", **used):
    said = {"host": host, "process": 1, "kind": kind, "source": "RAPL, by share of CPU time"}
    return Charge(**(said | used))


def meter(source="model"):
    """30 J from when it is opened until it is read."""
    readings = itertools.chain([0.0], itertools.repeat(30.0))
    return EnergyMeter.of({source: lambda: next(readings)})


def test_a_run_by_itself_has_no_parts(charges):
    facts = RunCost(charges, meter=meter()).facts()

    assert set(facts) == {"joules", "cpu_s", "worker_s", "source"}
    assert (facts["joules"], facts["source"]) == (30.0, "model")


def test_a_run_is_the_sum_of_its_own_and_of_what_workers_told(charges):
    cost = RunCost(charges, meter=meter())
    of_worker(joules=50.0, cpu_s=14.0, worker_s=20.0).write(charges)
    of_worker("tasks", joules=20.0, cpu_s=6.0, worker_s=8.0).write(charges)
    of_worker(joules=999.0).write(charges.with_name("0"))  # of the attempt before
    facts = cost.facts()

    assert facts["joules"] == 100.0
    assert facts["cpu_s"] == pytest.approx(20.0, abs=5)
    assert facts["source"] == "model; RAPL, by share of CPU time"
    assert told_energy(facts) == (
        "100 J (model; RAPL, by share of CPU time): 30 J own processes, 50 J ranks on 1 worker, "
        "20 J tasks on 1 worker"
    )


def test_a_counter_of_the_machine_has_seen_its_workers(charges):
    import socket

    cost = RunCost(charges, meter=meter("RAPL"))
    of_worker(host=socket.gethostname(), joules=50.0, cpu_s=14.0).write(charges)

    assert cost.facts()["joules"] == 30.0


def test_money_is_by_the_tariff_and_the_time_of_all_who_worked(charges, tmp_path, monkeypatch):
    hour = datetime.now(UTC) - timedelta(minutes=1)
    (tmp_path / "tariff.csv").write_text(f"from,price\n{hour:%Y-%m-%dT%H:%MZ},0.5\n")
    monkeypatch.setenv(TARIFF_VARIABLE, str(tmp_path / "tariff.csv"))
    cost = RunCost(charges, meter=meter())
    of_worker(worker_s=7200.0).write(charges)

    assert cost.facts()["cost"] == pytest.approx(1.0, abs=0.01)  # two hours, and a moment of ours


def test_a_tariff_that_does_not_tell_gives_no_cost(charges, tmp_path, monkeypatch):
    monkeypatch.setenv(TARIFF_VARIABLE, str(tmp_path / "nowhere.csv"))

    assert RunCost(charges, meter=meter()).facts()["cost"] is None


def test_a_notebook_counts_what_workers_use_from_when_it_asks(charges, monkeypatch):
    monkeypatch.setenv(CHARGES_VARIABLE, str(charges))
    monkeypatch.setattr("recbench.jobs.cost.open_meter", meter)
    of_worker(joules=1000.0).write(charges)
    joules = joules_so_far()
    of_worker(joules=1500.0).write(charges)

    assert joules() == 500.0 + 30.0
