"""While niced work fills the machine workers keep to a core each; what they start runs anywhere."""

import os
import subprocess
import sys

import pytest

from recbench.serving import cores as module

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="cores can be chosen on Linux only"
)

SCRIPT = """
import asyncio, os, sys
from pathlib import Path
from recbench.serving import cores as module
from recbench.serving.idle import Helper, made_politely

stat, cores = Path(sys.argv[1]), os.sched_getaffinity(0)
module.STAT = stat
ticks = [0] * 10

def after(user, niced, idle):
    for place, n in ((0, user), (1, niced), (3, idle)):
        ticks[place] += n
    stat.write_text("cpu  " + " ".join(map(str, ticks)) + "\\ncpu0 1 2 3\\n")

after(1, 0, 1)
bound = module.Cores(
    int(sys.argv[2]), n_workers=int(sys.argv[3]), always=sys.argv[4] == "always"
)
seen = []

def look(user, niced, idle):
    after(user, niced, idle)
    bound.look()
    seen.append(len(os.sched_getaffinity(0)))

async def beside():
    others = []
    await Helper().do(lambda: others.append(os.sched_getaffinity(0)))
    others.append(made_politely(lambda: os.sched_getaffinity(0)))
    return others

look(20, 0, 0)  # busy with ordinary work
look(10, 10, 0)  # niced work fills what is left
others = asyncio.run(beside())
look(10, 2, 8)  # neither much nor none
for _ in range(module.CALM_LOOKS):
    look(10, 0, 10)
print(*seen, all(other == cores for other in others))
"""


def said(tmp_path, number, n_workers, when="niced"):
    arguments = [tmp_path / "stat", number, n_workers, when]
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_a_worker_is_bound_while_niced_work_goes_on_and_what_it_starts_is_not(tmp_path):
    n = len(os.sched_getaffinity(0))
    if n < 2:
        pytest.skip("there is one core only")
    calm = [str(n)] * module.CALM_LOOKS
    calm[:-1] = ["1"] * (module.CALM_LOOKS - 1)
    assert said(tmp_path, n - 1, n) == [str(n), "1", "1", *calm, "True"]


def test_a_worker_that_is_to_be_bound_always_stays_so(tmp_path):
    n = len(os.sched_getaffinity(0))
    if n < 2:
        pytest.skip("there is one core only")
    assert said(tmp_path, 0, n, "always") == [*["1"] * (3 + module.CALM_LOOKS), "True"]


def test_fewer_or_more_workers_than_cores_are_left_to_the_system(tmp_path):
    n = len(os.sched_getaffinity(0))
    assert said(tmp_path, 0, n + 1, "always") == [*[str(n)] * (3 + module.CALM_LOOKS), "True"]
