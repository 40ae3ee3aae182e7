import os
import socket
import subprocess
import sys

import pytest

from recbench.errors import InputError
from recbench.jobs import manifest as module
from recbench.jobs.manifest import Manifest, code_facts, process_facts, recorded


def manifest(**changes):
    return Manifest(run="r", notebook="n.ipynb", notebook_sha256="0", parameters={}, **changes)


def test_a_manifest_reads_back_as_written(tmp_path):
    written = manifest(data={"name": "tiny"}, status="failed", error="cell 2: KeyError")

    written.write(tmp_path)

    assert Manifest.read(tmp_path) == written


def test_a_running_manifest_of_this_process_is_running():
    assert manifest(process=process_facts()).state() == "running"


def test_a_running_manifest_of_a_dead_process_is_killed():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    facts = process_facts() | {"pid": child.pid}
    child.wait()

    assert manifest(process=facts).state() == "killed"


def test_a_dead_process_that_nobody_reaped_is_killed():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but still in the table

    assert manifest(process=process_facts() | {"pid": child.pid}).state() == "killed"
    child.wait()


def test_a_number_used_again_by_another_process_is_killed():
    facts = process_facts()

    assert manifest(process=facts | {"started": facts["started"] - 60}).state() == "killed"


def test_a_process_of_another_machine_is_taken_at_its_word():
    facts = {"host": f"not-{socket.gethostname()}", "pid": 1, "started": 0.0}

    assert manifest(process=facts).state() == "running"


def test_a_finished_manifest_needs_no_process():
    assert manifest(status="succeeded").state() == "succeeded"


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(InputError, match=f"`{tmp_path}` is not a run"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", ["{", '{"colour": 1}'])
def test_a_file_that_is_no_manifest_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)

    with pytest.raises(InputError, match=r"manifest.json` is not a manifest"):
        Manifest.read(tmp_path)


def test_outside_a_checkout_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROOT", tmp_path)

    assert set(code_facts().values()) == {None}


def test_without_git_the_commit_is_unknown(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert code_facts()["commit"] is None


def test_nothing_recorded_is_empty(tmp_path):
    assert recorded(tmp_path, "metrics.json") == {}
