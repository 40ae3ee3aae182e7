"""Damaged files, full disks and dead processes: what is refused, what is left, what is swept."""

import contextlib
import errno
import itertools
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from recbench.errors import ReleaseError

UNKNOWN = "20250101T000000Z-00000000"


def names(registry):
    """What readers see; the lock is nobody's business."""
    return sorted(path.name for path in registry.path.iterdir() if path.name != ".lock")


def change(path):
    path.write_text("changed")


def point_elsewhere(path):
    moved = path.rename(path.with_name("moved"))
    path.symlink_to(moved)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change, r"index\.txt is not the file that was released"),
        (Path.unlink, r"lacks its file 'index\.txt'"),
        (point_elsewhere, r"lacks its file 'index\.txt'"),
    ],
)
def test_a_damaged_release_is_neither_opened_nor_published(registry, seal, damage, message):
    sealed = seal()
    damage(sealed.folder / "index.txt")
    for use in (registry.open, registry.publish):
        with pytest.raises(ReleaseError, match=message):
            use(sealed.manifest.release)
    assert registry.current() is None
    assert registry.open(sealed.manifest.release, verify=False).manifest == sealed.manifest


def test_a_release_that_was_damaged_is_not_rolled_back_to(registry, seal):
    first, second = seal("a", 0), seal("b", 1)
    registry.publish(first.manifest.release)
    registry.publish(second.manifest.release)
    change(first.folder / "tower.txt")
    with pytest.raises(ReleaseError, match=r"tower\.txt is not the file"):
        registry.roll_back()
    assert registry.current() == second.manifest.release


def test_a_manifest_cannot_name_files_outside_its_release(registry, seal, tmp_path):
    sealed = seal()
    outside = tmp_path / "outside.txt"
    outside.write_text("index")
    manifest = json.loads((sealed.folder / "manifest.json").read_text())
    manifest["files"]["../../outside.txt"] = manifest["files"]["index.txt"]
    (sealed.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ReleaseError, match=r"lacks its file '\.\./\.\./outside\.txt'"):
        registry.open(sealed.manifest.release)


def test_a_file_that_was_not_released_has_no_path(seal):
    sealed = seal()
    with pytest.raises(ReleaseError, match=r"no file 'secret', but \['index.txt', 'tower.txt'\]"):
        sealed.path("secret")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"[]",
        b'{"release": 3, "earlier": []}',
        b'{"release": "../../etc", "earlier": []}',
        f'{{"release": "{UNKNOWN}"}}'.encode(),
    ],
)
def test_a_damaged_pointer_is_told_and_mended_by_publishing(registry, seal, content):
    release = seal().manifest.release
    (registry.path / "current").write_bytes(content)
    with pytest.raises(ReleaseError, match="current is damaged; publish a release again"):
        registry.open()
    registry.publish(release)
    assert registry.open().manifest.release == release


def test_a_pointer_to_a_deleted_release_is_told(registry, seal):
    sealed = seal()
    registry.publish(sealed.manifest.release)
    shutil.rmtree(sealed.folder)
    with pytest.raises(ReleaseError, match=rf"no release '{sealed.manifest.release}' .* are \[\]"):
        registry.open()


def fail_in_draft(registry):
    with registry.draft() as draft:
        (draft / "half.txt").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_draft_that_fails_leaves_nothing(registry):
    with pytest.raises(OSError, match="No space left"):
        fail_in_draft(registry)
    assert names(registry) == []


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.write_text", "pathlib.Path.rename"])
def test_sealing_on_a_full_disk_leaves_nothing_under_a_release_name(
    registry, a_manifest, monkeypatch, step
):
    with registry.draft() as draft:
        (draft / "index.txt").write_text("index")
        monkeypatch.setattr(step, full_disk)
        with pytest.raises(OSError, match="No space left"):
            registry.seal(draft, a_manifest())
        monkeypatch.undo()
    assert names(registry) == []


def test_publishing_on_a_full_disk_leaves_the_current_release(registry, seal, monkeypatch):
    first, second = seal("a", 0).manifest.release, seal("b", 1).manifest.release
    registry.publish(first)
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        registry.publish(second)
    monkeypatch.undo()
    assert registry.current() == first
    assert names(registry) == sorted([first, second, "current"])


@pytest.mark.parametrize("n_synced", [0, 1, 2])  # the new pointer, its folder, then all is done
def test_publishing_on_a_disk_that_fills_up_leaves_the_old_or_the_new(
    registry, seal, monkeypatch, n_synced
):
    old, new = seal("a", 0).manifest.release, seal("b", 1).manifest.release
    registry.publish(old)
    synced, calls = os.fsync, itertools.count()

    def fill_up(handle):
        return synced(handle) if next(calls) < n_synced else full_disk()

    monkeypatch.setattr(os, "fsync", fill_up)
    with contextlib.suppress(OSError):
        registry.publish(new)
    monkeypatch.undo()
    assert registry.open().manifest.release == (new if n_synced else old)
    assert names(registry) == sorted([old, new, "current"])


def test_drafts_of_dead_processes_are_swept_and_living_ones_kept(registry, seal):
    two_days_ago = time.time() - 2 * 86_400
    for name in ("dead", "living"):
        (registry.path / f".draft-{name}").mkdir(parents=True)
        (registry.path / f".current.{name}.part").touch()
    for name in (".draft-dead", ".current.dead.part"):
        os.utime(registry.path / name, (two_days_ago, two_days_ago))
    release = seal().manifest.release
    assert names(registry) == [".current.living.part", ".draft-living", release]


def test_a_draft_that_vanishes_while_sweeping_does_not_matter(registry, seal, monkeypatch):
    registry.path.mkdir()
    found = Path.glob

    def glob_with_ghost(folder, pattern):
        return [folder / ".draft-gone", *found(folder, pattern)]

    monkeypatch.setattr(Path, "glob", glob_with_ghost)
    release = seal().manifest.release
    assert names(registry) == [release]


def test_a_changed_manifest_is_not_opened(registry, seal):
    sealed = seal()
    path = sealed.folder / "manifest.json"
    path.write_text(path.read_text().replace('"ndcg@20": 0.25', '"ndcg@20": 0.95'))
    with pytest.raises(ReleaseError, match=r"is not the manifest that was released: .*content"):
        registry.open(sealed.manifest.release)


def test_a_release_under_the_id_of_another_is_not_opened(registry, seal):
    sealed = seal()
    sealed.folder.rename(registry.path / UNKNOWN)
    with pytest.raises(ReleaseError, match=f"holds another release, {sealed.manifest.release}"):
        registry.open(UNKNOWN)


def test_a_link_in_the_registry_is_no_release(registry, seal):
    sealed = seal()
    (registry.path / UNKNOWN).symlink_to(sealed.folder)
    with pytest.raises(ReleaseError, match=f"no release '{UNKNOWN}'"):
        registry.open(UNKNOWN)


def test_unreadable_releases_do_not_hide_the_others(registry, seal):
    good, bad = seal("a", 0), seal("b", 1)
    (bad.folder / "manifest.json").write_text("{")
    assert [manifest.release for manifest in registry.releases()] == [good.manifest.release]
    (told,) = registry.unreadable().items()
    assert told[0] == bad.manifest.release
    assert "manifest.json is damaged" in told[1]
