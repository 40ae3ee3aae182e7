"""A cluster that stays, what it says of itself, and a notebook on it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recbench.cli import main
from recbench.jobs.manifest import Manifest

CLI = [sys.executable, "-c", "from recbench.cli import main; main()"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The address of a cluster that `recbench cluster open` keeps, and its process."""
    process = subprocess.Popen(
        [*CLI, "cluster", "open", "--minimum", "2", "--maximum", "2"],
        cwd=tmp_path_factory.mktemp("cluster"),
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    yield process.stdout.readline().strip(), process
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    deadline = time.monotonic() + 60
    while any(is_alive(each) for each in family):  # the last helpers end with their parent
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_status_lists_the_workers(opened, tmp_path, capsys):
    address, _ = opened
    assert address.startswith("tcp://127.0.0.1:")

    main(["cluster", "status", address, "--json", str(tmp_path / "status.json")])

    rows = json.loads((tmp_path / "status.json").read_text())
    assert [(row["state"], row["threads"], row["tasks"]) for row in rows] == [("running", 1, 0)] * 2
    assert all(0 < row["memory_mib"] < row["limit_mib"] for row in rows)
    assert rows[0]["worker"] in capsys.readouterr().out


def test_a_notebook_runs_on_it_and_finds_it_without_a_parameter(
    opened, tmp_path, monkeypatch, write_notebook, capsys
):
    address, _ = opened
    code = (
        "from recbench.cluster.current import current_client\nclient = current_client()\n"
        "print(client.submit(sum, [1, k]).result(), len(client.scheduler_info()['workers']))"
    )
    write_notebook(tmp_path / "n.ipynb", code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path / "runs"))

    main(["run", "n.ipynb", "-p", "k=4", "--on", address])

    lines = capsys.readouterr().out.splitlines()
    assert "5 2" in lines  # what it printed came back
    assert lines[-1] == str(next((tmp_path / "runs").iterdir()))
    manifest = Manifest.read(Path(lines[-1]))
    assert manifest.status == "succeeded"
    assert manifest.process["pid"] != os.getpid()


def test_a_cluster_that_does_not_answer_exits_2(monkeypatch, capsys):
    monkeypatch.setattr("recbench.cluster.open.CONNECT_TIMEOUT_S", 0.2)
    with pytest.raises(SystemExit) as leaving:
        main(["cluster", "status", "tcp://127.0.0.1:1"])
    assert leaving.value.code == 2
    assert "No scheduler answers at `tcp://127.0.0.1:1`" in capsys.readouterr().err


def test_a_tariff_without_the_policy_that_keeps_to_it_is_refused(tmp_path, capsys):
    tariff = tmp_path / "tariff.csv"
    tariff.write_text("from,price\n00:00,0.1\n")
    with pytest.raises(SystemExit) as leaving:
        main(["cluster", "open", "--tariff", str(tariff)])
    assert leaving.value.code == 2
    assert "--tariff belongs to --on local --rule deadlines" in capsys.readouterr().err


def test_a_tariff_that_cannot_be_read_is_told_before_anything_starts(tmp_path, capsys):
    tariff = tmp_path / "tariff.csv"
    tariff.write_text("from,price\nnoon,0.1\n")
    with pytest.raises(SystemExit) as leaving:
        main(["cluster", "open", "--rule", "deadlines", "--tariff", str(tariff)])
    assert leaving.value.code == 2
    assert "line 2: `from` must be a time of day" in capsys.readouterr().err
