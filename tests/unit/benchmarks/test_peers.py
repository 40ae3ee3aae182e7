"""Asking peers, where they are not and where they fail."""

import sys

import pytest

from recbench.benchmarks import peers
from recbench.errors import InputError, JobError


def test_without_the_environment_the_next_step_is_named(monkeypatch):
    monkeypatch.setattr(peers, "peers_python", lambda: None)
    with pytest.raises(InputError, match="run `make env-peers`"):
        peers._ask("rectools")


def test_a_peer_that_fails_is_told_with_its_last_words(monkeypatch, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit('no such thing as a free lunch')")
    monkeypatch.setattr(peers, "peers_python", lambda: sys.executable)
    monkeypatch.setattr(peers, "SCRIPT", script)
    with pytest.raises(JobError, match="rectools failed: no such thing as a free lunch"):
        peers._ask("rectools")
