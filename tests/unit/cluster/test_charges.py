import json

from recbench.cluster.charges import Charge, charges_in


def charge(host="a", process=1, kind="tasks", **used):
    return Charge(**({"host": host, "process": process, "kind": kind, "source": "RAPL"} | used))


def test_workers_are_added_up_by_kind(tmp_path):
    folder = tmp_path / "energy" / "0"
    charge(process=1, joules=1.5, cpu_s=1.0, worker_s=2.0).write(folder)
    charge(process=1, joules=9.0, cpu_s=3.0, worker_s=4.0).write(folder)  # the same one, later
    charge(process=2, joules=1.0, cpu_s=0.5, worker_s=1.0, source="model").write(folder)
    charge(process=2, joules=4.0, kind="ranks").write(folder)

    assert charges_in(folder) == {
        "ranks": {"joules": 4.0, "cpu_s": 0, "worker_s": 0, "workers": 1, "source": "RAPL"},
        "tasks": {
            "joules": 10.0,
            "cpu_s": 3.5,
            "worker_s": 5.0,
            "workers": 2,
            "source": "RAPL; model",
        },
    }


def test_joules_that_somebody_has_counted_are_not_counted_again(tmp_path):
    folder = tmp_path / "energy" / "0"
    charge(host="here", joules=5.0, cpu_s=1.0).write(folder)
    charge(host="there", joules=2.0, cpu_s=1.0).write(folder)

    tasks = charges_in(folder, seen={"here"})["tasks"]
    assert (tasks["joules"], tasks["cpu_s"]) == (2.0, 2.0)
    assert charges_in(folder, seen={"here", "there"})["tasks"]["source"] == (
        "within what the run's machine counted"
    )


def test_a_run_that_used_nobody_has_no_charges(tmp_path):
    assert charges_in(tmp_path / "energy" / "0") == {}


def test_a_worker_that_does_not_see_the_run_makes_no_folders(tmp_path):
    charge().write(tmp_path / "elsewhere" / "run" / "energy" / "0")

    assert list(tmp_path.iterdir()) == []


def test_a_charge_is_there_whole(tmp_path):
    folder = tmp_path / "energy" / "0"
    charge(joules=1.0).write(folder)

    (path,) = folder.iterdir()
    assert path.name == "a-1-tasks.json"
    assert json.loads(path.read_text())["joules"] == 1.0
