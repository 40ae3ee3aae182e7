"""A publisher is killed at any moment: a reader always gets the whole old or the whole new."""

import random
import signal
import subprocess
import sys
import time

import pytest

from recbench.errors import ReleaseError
from recbench.refresh import Registry

SECONDS = 4.0
# Publishes one release after another, all of whose files hold the release's number.
PUBLISHER = """
import sys
from pathlib import Path
from recbench.refresh import Manifest, Registry
registry, number = Registry(Path(sys.argv[1])), int(sys.argv[2])
while True:
    number += 1
    with registry.draft() as draft:
        for part in ("tower", "index", "users"):
            (draft / part).write_text(f"{number} " * 20_000)
        manifest = Manifest(
            release="", created="2026-01-01T00:00:00+00:00", data="toy", protocol="masked",
            watermark="2026-01-01T00:00:00+00:00", lake_version=number, gate={}, metrics={},
            parent=registry.current(), settings={}, parity={}, code={},
        )
        registry.publish(registry.seal(draft, manifest).manifest.release)
"""


def numbers_in(release):
    """The number that each part of the release speaks of."""
    parts = {release.path(name).read_text().split()[0] for name in ("tower", "index", "users")}
    return parts | {str(release.manifest.lake_version)}


def read_until(registry, deadline):
    """Opens the current release again and again; the highest number seen."""
    newest = 0
    while time.monotonic() < deadline:
        numbers = numbers_in(registry.open())
        assert len(numbers) == 1  # never the tower of one release with the index of another
        (number,) = map(int, numbers)
        assert number >= newest  # never back to an older one
        newest = number
    return newest


def wait_for_first_release(registry):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if registry.current() is not None:
            return
        time.sleep(0.02)
    pytest.fail("no release within 120 s")


def test_killed_while_publishing_the_reader_sees_all_of_the_old_or_all_of_the_new(tmp_path):
    registry, rng = Registry(tmp_path / "registry"), random.Random(0)
    newest, kills, deadline = 0, 0, time.monotonic() + SECONDS
    while time.monotonic() < deadline or kills < 3:
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(registry.path), str(newest + 1000)]
        )
        try:
            wait_for_first_release(registry)
            newest = read_until(registry, time.monotonic() + rng.uniform(0.8, 1.2))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        kills += 1
        newest = max(newest, read_until(registry, time.monotonic() + 0.01))
    listed = registry.releases()
    assert len(listed) > kills  # there was something to see
    for manifest in listed:
        assert len(numbers_in(registry.open(manifest.release))) == 1


def test_a_draft_of_a_killed_publisher_is_no_release(tmp_path):
    registry = Registry(tmp_path / "registry")
    waits = 'print("drafted", flush=True); input()\n        manifest = Manifest('
    code = PUBLISHER.replace("manifest = Manifest(", waits)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(registry.path), "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "drafted\n"
    process.kill()
    process.communicate()

    (draft,) = registry.path.iterdir()
    assert draft.name.startswith(".draft-")
    assert registry.releases() == []
    with pytest.raises(ReleaseError, match="no release in"):
        registry.open()
