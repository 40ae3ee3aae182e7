"""What a finished stage gave is there when the run is resumed, and nothing else is."""

import pytest

from recbench.errors import InputError
from recbench.jobs import stages
from recbench.jobs.manifest import Manifest
from recbench.jobs.run import RunFailedError, resume_run, run_notebook
from recbench.jobs.stages import stage


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """Begins another attempt of the same run."""

    def begin():
        stages.MADE.clear()
        monkeypatch.setenv("RECBENCH_RUN_DIR", str(tmp_path))

    begin()
    yield begin
    stages.MADE.clear()


def counted(calls, value):
    def make():
        calls.append(value)
        return value

    return make


def test_outside_of_a_job_every_call_computes(monkeypatch):
    monkeypatch.delenv("RECBENCH_RUN_DIR", raising=False)
    calls = []
    assert [stage("a", counted(calls, 1)), stage("a", counted(calls, 1))] == [1, 1]
    assert calls == [1, 1]


def test_a_later_attempt_takes_what_the_earlier_one_kept(attempt):
    calls = []
    assert stage("a", counted(calls, {"x": 1})) == {"x": 1}
    attempt()
    assert stage("a", counted(calls, {"x": 2})) == {"x": 1}
    assert calls == [{"x": 1}]


def test_other_inputs_make_a_stage_and_all_that_follow_again(attempt):
    calls = []
    stage("a", counted(calls, "a"), inputs=[1])
    stage("b", counted(calls, "b"))
    attempt()
    stage("a", counted(calls, "a"), inputs=[2])
    stage("b", counted(calls, "b"))
    assert calls == ["a", "b", "a", "b"]


def test_other_code_makes_a_stage_again(attempt, monkeypatch):
    calls = []
    stage("a", counted(calls, 1))
    attempt()
    monkeypatch.setattr(stages, "code_digest", lambda: "another")
    stage("a", counted(calls, 2))
    assert calls == [1, 2]


def test_a_stage_that_fails_is_not_kept(attempt):
    def fails():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        stage("a", fails)
    attempt()
    assert stage("a", lambda: 5) == 5


def test_what_cannot_be_kept_is_refused(attempt):
    with pytest.raises(InputError, match="What stage 'a' gives cannot be kept: .*lambda"):
        stage("a", lambda: lambda: 0)


def test_a_name_is_used_once(attempt):
    stage("a", lambda: 0)
    with pytest.raises(InputError, match="two stages named 'a'"):
        stage("a", lambda: 0)


def test_a_name_is_plain(attempt):
    with pytest.raises(InputError, match="got 'a b'"):
        stage("a b", lambda: 0)


def test_a_run_resumed_after_its_third_stage_failed_does_not_repeat_the_first_two(
    tmp_path, write_notebook, untracked
):
    codes = [
        "from pathlib import Path\nfrom recbench.jobs.stages import stage",
        "def made(name, value):\n"
        "    with Path(calls).open('a') as stream:\n        stream.write(name + ' ')\n"
        "    return value",
        "first = stage('first', lambda: made('first', 20))",
        "second = stage('second', lambda: made('second', first + 1))",
        "assert made('third', True) and Path(ready).exists(), 'not yet'\n"
        "third = stage('third', lambda: 2 * second)\nprint(third)",
    ]
    calls, ready = tmp_path / "calls", tmp_path / "ready"
    notebook = write_notebook(tmp_path / "n.ipynb", *codes, parameters="calls = ''\nready = ''")
    parameters = {"calls": str(calls), "ready": str(ready)}
    with pytest.raises(RunFailedError, match="not yet") as raised:
        run_notebook(notebook, parameters, runs=tmp_path / "runs", workspace=tmp_path / "w")
    assert calls.read_text() == "first second third "
    failed = Manifest.read(raised.value.folder)
    assert {name: told["reused"] for name, told in failed.stages.items()} == {
        "first": False,
        "second": False,
    }

    ready.touch()
    done = resume_run(raised.value.folder, workspace=tmp_path / "w")

    assert calls.read_text() == "first second third third "
    manifest = Manifest.read(done.folder)
    assert {name: told["reused"] for name, told in manifest.stages.items()} == {
        "first": True,
        "second": True,
        "third": False,
    }
    assert (done.folder / "log.txt").read_text().splitlines()[-1] == "42"
