"""Idle work and urgent threads, as the system sees them; each in a process of its own."""

import ctypes
import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has these priorities")

AUTOGROUP = Path("/proc/self/autogroup")
CAP_SYS_NICE, PR_CAPBSET_DROP = 23, 24
SEEN = """
import os, subprocess, sys, threading
from pathlib import Path
from recbench import priority

def policy():
    names = {os.SCHED_OTHER: "ordinary", os.SCHED_RR: "urgent", os.SCHED_IDLE: "idle"}
    return names[os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK]

def of_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(policy()))
    thread.start()
    thread.join()
    return found[0]

def session():
    told = Path("/proc/self/autogroup").read_text().split()
    return told[-1] if told else "unweighed"
"""
ALLOWED = SEEN + "priority.require_urgency()"


def said(code, **how):
    done = subprocess.run(
        [sys.executable, "-c", SEEN + code], capture_output=True, text=True, check=True, **how
    )
    return done.stdout.split()


def unprivileged(*, priority=0):
    """For a child, before it begins: without the capability, but with a limit."""

    def prepare():
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_NICE)  # root loses it as it begins
        resource.setrlimit(resource.RLIMIT_RTPRIO, (priority, priority))

    return prepare


@pytest.fixture
def urgency():
    """Skips where this user has no real-time priorities."""
    done = subprocess.run([sys.executable, "-c", ALLOWED], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this user has no real-time priorities")


@pytest.fixture
def weighed():
    """Skips where a new session is not weighed; the session of these tests may still be none."""
    if not AUTOGROUP.exists() or said("print(session())", start_new_session=True) == ["unweighed"]:
        pytest.skip("sessions are not weighed here")


def test_an_idle_process_lowers_the_session_that_it_leads_and_no_other(weighed):
    lower = "priority.lower_process(); print(policy(), of_a_thread(), session())"
    before = said("print(session())")
    assert said(lower) == ["idle", "idle", *before]  # the session of this test
    assert said(lower, start_new_session=True) == ["idle", "idle", "19"]


def test_what_idle_work_starts_lowers_its_own_session_and_ordinary_work_does_not(
    weighed,
):
    own = "priority.lower_own_session(); print(session())"
    assert said(own, start_new_session=True) == ["0"]
    through = f"""
priority.lower_process()
subprocess.run([sys.executable, "-c", {SEEN + own!r}], start_new_session=True)
"""
    assert said(through, start_new_session=True) == ["19"]


def test_a_session_is_lowered_once_the_system_takes_changes_again():
    code = """
class Busy:
    left = 2
    def write_text(self, text, encoding):
        self.left -= 1
        if self.left >= 0:
            raise BlockingIOError
        print(text)

priority.AUTOGROUP = Busy()
priority.lower_process()
"""
    assert said(code, start_new_session=True) == ["19"]


def test_a_thread_is_urgent_for_a_while_and_what_it_starts_is_not(urgency):
    code = """
with priority.urgent():
    print(policy(), of_a_thread())
print(policy())
priority.be_urgent(priority.HELPING)
print(os.sched_getparam(0).sched_priority)
"""
    assert said(code) == ["urgent", "ordinary", "ordinary", str(1)]


def test_finding_out_changes_nothing(urgency):
    code = "priority.require_urgency(); print(os.sched_getscheduler(0) == os.SCHED_OTHER)"
    assert said(code) == ["True"]


def test_who_may_not_be_urgent_is_told_how_to_be_allowed():
    done = subprocess.run(
        [sys.executable, "-c", "from recbench.cli import main; main(['serve', '--real-time'])"],
        preexec_fn=unprivileged(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "No real-time priority here" in done.stderr
    assert "`ulimit -r 3`" in done.stderr


def test_a_limit_is_leave_enough(urgency):
    try:
        said("", preexec_fn=unprivileged(priority=2))
    except subprocess.SubprocessError:
        pytest.skip("this user cannot raise the limit")
    code = "priority.require_urgency()\nwith priority.urgent(): print(policy())\nprint(policy())"
    assert said(code, preexec_fn=unprivileged(priority=2)) == ["urgent", "ordinary"]
