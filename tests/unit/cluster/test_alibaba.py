import math
from dataclasses import replace

import pytest

from recbench.cluster.alibaba import JOB_COLUMNS, TASK_COLUMNS, alibaba_day
from recbench.cluster.scaling import ScalingPolicy
from recbench.cluster.simulate import simulate
from recbench.errors import InputError

DAY = 86_400
# in the format of the public files, which have no header line; the values are made up
JOBS = f"""a,i1,u,Terminated,1000.0,1700.0
b,i2,u,Terminated,{1000 + DAY}.0,
c,i3,u,Failed,1200.0,1300.0
d,i4,u,Terminated,1100.0,9000.0
"""
TASKS = f"""a,worker,2.0,Terminated,1100.0,1700.0,600.0,29.3,50.0,MISC
a,ps,1.0,Terminated,1100.0,1700.0,,29.3,,MISC
b,worker,1.0,Terminated,{1010 + DAY}.0,{1070 + DAY}.0,400.0,1.0,100.0,T4
c,worker,1.0,Failed,1250.0,1300.0,600.0,1.0,100.0,T4
d,worker,100.0,Terminated,1200.0,9000.0,800.0,1.0,0.0,
"""


@pytest.fixture
def tables(tmp_path):
    paths = tmp_path / "pai_job_table.csv", tmp_path / "pai_task_table.csv"
    for path, text in zip(paths, (JOBS, TASKS), strict=True):
        path.write_text(text)
    return paths


def test_a_task_is_a_gang_of_what_its_instances_need(tables):
    found = alibaba_day(*tables)

    # two instances of six cores are two workers of four threads each; the failed job is left out,
    # and so is the task of 200 workers
    assert [(job.arrival_s, job.gang, job.tasks_s) for job in found.jobs] == [
        (0.0, 1, (600.0,)),
        (0.0, 4, (600.0,)),
    ]
    assert {job.due_s for job in found.jobs} == {1200.0}  # twice what it ran


def test_the_next_day_is_another_trace(tables):
    found = alibaba_day(*tables, day=1)

    assert [(job.arrival_s, job.due_s) for job in found.jobs] == [(0.0, 900.0)]


def test_a_header_line_is_understood(tables):
    for path, columns in zip(tables, (JOB_COLUMNS, TASK_COLUMNS), strict=True):
        path.write_text(",".join(columns) + "\n" + path.read_text())

    assert len(alibaba_day(*tables).jobs) == 2


def test_such_a_day_can_be_simulated(tables):
    # how long such tasks take is not known before one of them has ended, so one may be late
    found = alibaba_day(*tables)
    outcome = simulate(replace(found, reclaims=(), life_h=math.inf), ScalingPolicy(minimum=5))

    assert (outcome.n_jobs, outcome.n_missed) == (2, 0)
    assert outcome.busy_s == 600 * 1 + 600 * 4


def test_a_missing_column_is_named(tables):
    tables[1].write_text("job_name,task_name\na,b\n")

    with pytest.raises(InputError, match="must have the columns .*plan_gpu.*, got job_name"):
        alibaba_day(*tables)


def test_a_day_without_jobs_is_named(tables):
    with pytest.raises(InputError, match="no finished task of a job of day 7"):
        alibaba_day(*tables, day=7)
