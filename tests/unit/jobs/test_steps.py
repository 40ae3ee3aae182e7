"""Steps are done once, appear whole, and say what they cost."""

import pytest

from recbench.jobs.steps import Steps


def test_a_step_is_made_once(tmp_path):
    steps, made = Steps(tmp_path), []

    def make():
        made.append(1)
        return {"n": len(made)}

    assert steps.once("read", make) == steps.once("read", make) == {"n": 1}
    assert made == [1]
    assert steps.read("read")["cpu_s"] >= 0
    assert steps.read("read")["begun"].endswith("+00:00")


def test_a_step_that_fails_is_not_done(tmp_path):
    steps = Steps(tmp_path)

    def fails():
        with steps.timed("update") as facts:
            facts["half"] = True
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fails()
    assert not steps.has("update")


def test_a_timed_step_holds_its_facts_and_cost(tmp_path):
    steps = Steps(tmp_path)
    with steps.timed("update") as facts:
        facts["n_examples"] = 3
    assert steps.read("update")["n_examples"] == 3
    assert steps.read("update").keys() == {"n_examples", "seconds", "cpu_s"}


def test_a_step_holds_its_joules_where_they_are_counted(tmp_path):
    readings = iter([5.0, 7.5, 10.0, 11.0])
    steps = Steps(tmp_path, joules=lambda: next(readings))
    with steps.timed("update"):
        pass
    steps.once("read", dict)

    assert steps.read("update")["joules"] == 2.5
    assert steps.read("read")["joules"] == 1.0
