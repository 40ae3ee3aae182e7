"""Workers keep to a core each; what they start runs anywhere."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="cores can be chosen on Linux only"
)

SCRIPT = """
import asyncio, os, sys
from recbench.serving.cores import on_a_core_of_its_own
from recbench.serving.idle import in_idle_thread, in_thread, made_politely

cores = os.sched_getaffinity(0)
bound = on_a_core_of_its_own(int(sys.argv[1]), n_workers=int(sys.argv[2]))
seen = [os.sched_getaffinity(0)]

async def beside():
    for run in (in_thread, in_idle_thread):
        await run(lambda: seen.append(os.sched_getaffinity(0)), name="beside")

asyncio.run(beside())
seen.append(made_politely(lambda: os.sched_getaffinity(0)))
print(bound, len(seen[0]), all(other == cores for other in seen[1:]))
"""


def said(number, n_workers):
    command = [sys.executable, "-c", SCRIPT, str(number), str(n_workers)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_each_of_as_many_workers_as_cores_is_bound_and_what_it_starts_is_not():
    n_cores = len(os.sched_getaffinity(0))
    if n_cores < 2:
        pytest.skip("there is one core only")
    assert said(n_cores - 1, n_cores) == ["True", "1", "True"]


def test_fewer_or_more_workers_than_cores_are_left_to_the_system():
    n_cores = len(os.sched_getaffinity(0))
    assert said(0, n_cores + 1) == ["False", str(n_cores), "True"]
