"""A publisher dies before each of its file operations in turn; no half release is ever seen."""

import subprocess
import sys

# Child n makes and publishes a release and is killed at its n-th file operation; after each the
# registry must hold whole releases only. Ends with the first child that lived.
CRASHES = """
import itertools, os, signal, sys
from pathlib import Path
from recbench.refresh import Manifest, Registry

FILE_OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link"}
registry = Registry(Path(sys.argv[1]))

def publish(number):
    with registry.draft() as draft:
        for part in ("tower", "index"):
            (draft / part).write_text(f"{number} " * 20_000)
        manifest = Manifest(
            release="", created="2026-01-01T00:00:00+00:00", data="toy", protocol="masked",
            watermark="2026-01-01T00:00:00+00:00", lake_version=number, gate={}, metrics={},
            parent=registry.current(), settings={}, parity={}, code={},
        )
        registry.publish(registry.seal(draft, manifest).manifest.release)

def die_at(n):
    seen = itertools.count()
    def watch(event, arguments):
        if event in FILE_OPERATIONS and next(seen) == n:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)

def number_of(release):
    numbers = {release.path(part).read_text().split()[0] for part in ("tower", "index")}
    (number,) = numbers | {str(release.manifest.lake_version)}
    return int(number)

publish(0)
for n in itertools.count():
    before = number_of(registry.open())
    child = os.fork()
    if not child:
        die_at(n)
        publish(n + 1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert number_of(registry.open()) in {before, n + 1}, n
    assert registry.unreadable() == {}, n
    for manifest in registry.releases():
        number_of(registry.open(manifest.release))
    if os.WIFEXITED(status):
        break
assert os.WEXITSTATUS(status) == 0
assert number_of(registry.open()) == n + 1
print(n)
"""


def test_killed_before_any_file_operation_the_registry_holds_whole_releases_only(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", CRASHES, str(tmp_path / "registry")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    # at least: two parts written, hashed and synced, the manifest, the pointer, the move
    assert int(run.stdout) > 10
