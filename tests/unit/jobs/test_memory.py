import subprocess
import sys
import time

from recbench.jobs.memory import PeakMemory

HOLD = """
import sys
held = bytearray(b"x" * 60 * 2**20)
print("held", flush=True)
sys.stdin.read()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"


def test_peak_counts_the_children_and_outlives_the_process():
    child = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with PeakMemory() as memory, child:
        child.stdout.readline()
        memory.watch(child.pid)
        deadline = time.monotonic() + 120
        while memory.peak_bytes is None and time.monotonic() < deadline:
            time.sleep(0.05)
        child.stdin.close()

    assert memory.peak_bytes > 60 * 2**20


def test_nothing_watched_is_unknown():
    with PeakMemory() as memory:
        pass

    assert memory.peak_bytes is None


def test_a_tree_above_its_limit_is_killed_with_the_figures():
    child = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with PeakMemory(limit_bytes=40 * 2**20) as memory, child:
        memory.watch(child.pid)
        child.wait(timeout=120)

    assert child.returncode == -9
    assert memory.exceeded.endswith(" MiB, more than the 40 MiB it may")


def test_a_tree_a_byte_above_its_limit_is_not_said_to_hold_what_it_may(monkeypatch):
    limit = 40 * 2**20
    monkeypatch.setattr("recbench.jobs.memory._resident_bytes", lambda process: limit + 1)
    child = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE)
    with PeakMemory(limit_bytes=limit) as memory, child:
        memory.watch(child.pid)
        child.wait(timeout=120)

    assert memory.exceeded == "held 41 MiB, more than the 40 MiB it may"
