"""Releases appear whole, are verified when opened, and one pointer says which is current."""

import json
import shutil

import pytest

from recbench.errors import InputError, ReleaseError
from recbench.refresh import Registry
from recbench.refresh.manifest import Manifest

UNKNOWN = "20250101T000000Z-00000000"


def names(registry):
    return sorted(path.name for path in registry.path.iterdir())


def test_a_sealed_release_can_be_opened(registry, seal):
    sealed = seal("first")
    opened = registry.open(sealed.manifest.release)
    assert opened == sealed
    assert opened.path("index.txt").read_text() == "first"
    assert opened.manifest.lake_version == 3


def test_the_id_tells_time_and_content(seal):
    ids = [seal(text, second).manifest.release for text, second in [("a", 0), ("b", 0), ("a", 1)]]
    times, digests = zip(*(release.split("-") for release in ids), strict=True)
    assert times == ("20260101T120000Z", "20260101T120000Z", "20260101T120001Z")
    assert digests[0] == digests[2] != digests[1]


def test_the_same_release_cannot_be_sealed_twice(registry, seal):
    release = seal().manifest.release
    with pytest.raises(ReleaseError, match=f"{release} is there already"):
        seal()
    assert names(registry) == [release]


def test_sealing_publishes_nothing(registry, seal):
    seal()
    assert registry.current() is None


def test_published_is_current_until_the_next(registry, seal):
    first, second = seal("a", 0).manifest.release, seal("b", 1).manifest.release
    assert registry.publish(first).manifest.release == registry.current() == first
    registry.publish(second)
    assert registry.open().manifest.release == registry.current() == second


def test_rolling_back_returns_to_what_was_current_before(registry, seal):
    first, second, third = (seal(t, n).manifest.release for n, t in enumerate("abc"))
    for release in (first, second, third):
        registry.publish(release)
    assert registry.roll_back().manifest.release == registry.current() == second
    assert registry.roll_back().manifest.release == registry.current() == first
    with pytest.raises(ReleaseError, match=f"no release before {first} to roll back to"):
        registry.roll_back()


def test_it_is_known_beforehand_what_rolling_back_returns_to(registry, seal):
    assert registry.earlier() == []
    first, second, third = (seal(t, n).manifest.release for n, t in enumerate("abc"))
    for release in (first, second, third):
        registry.publish(release)
    assert registry.earlier() == [second, first]
    registry.roll_back()
    assert registry.earlier() == [first]


def test_a_release_that_is_not_current_any_more_is_not_rolled_back(registry, seal):
    first, second, third = (seal(t, n).manifest.release for n, t in enumerate("abc"))
    for release in (first, second, third):
        registry.publish(release)
    with pytest.raises(ReleaseError, match=f"{second} is not current any more, {third} is"):
        registry.roll_back(of=second)
    assert registry.current() == third
    assert registry.roll_back(of=third).manifest.release == second


def test_publishing_the_current_release_again_changes_nothing(registry, seal):
    first, second = seal("a", 0).manifest.release, seal("b", 1).manifest.release
    for release in (first, second, second):
        registry.publish(release)
    assert registry.roll_back().manifest.release == first


def test_old_releases_go_and_the_pointer_forgets_them(registry, seal):
    *old, fourth, fifth = (seal(t, n).manifest.release for n, t in enumerate("abcde"))
    for release in (*old, fourth, fifth):
        registry.publish(release)
    assert registry.prune(keep=1, protect=[old[1]]) == [old[0], old[2]]
    assert [m.release for m in registry.releases()] == [fifth, fourth, old[1]]
    assert registry.roll_back().manifest.release == fourth
    assert registry.roll_back().manifest.release == old[1]
    assert registry.prune(keep=9) == []


def test_of_releases_that_never_were_current_the_newest_stay(registry, seal):
    first, *held = (seal(t, n).manifest.release for n, t in enumerate("abcd"))
    registry.publish(first)
    assert registry.prune(keep=2) == held[:1]
    assert registry.prune(keep=0) == held[1:]
    assert registry.current() == first
    assert sorted(path.name for path in registry.path.iterdir()) == [".lock", first, "current"]


def test_without_a_current_release_nothing_goes(registry, seal):
    assert registry.prune(keep=0) == []
    seal()
    assert registry.prune(keep=0) == []
    with pytest.raises(InputError, match="`keep` must not be negative, got -1"):
        registry.prune(keep=-1)


def test_nothing_to_roll_back_to_in_an_empty_registry(registry):
    with pytest.raises(ReleaseError, match="There is no release in .*registry yet"):
        registry.roll_back()


def test_releases_are_listed_the_newest_first(registry, seal):
    ids = [seal(text, second).manifest.release for second, text in enumerate("abc")]
    assert [manifest.release for manifest in registry.releases()] == ids[::-1]


def test_what_is_no_release_is_not_listed(registry, seal):
    release = seal().manifest.release
    registry.publish(release)
    (registry.path / ".ipynb_checkpoints").mkdir()
    (registry.path / "notes").mkdir()
    assert [manifest.release for manifest in registry.releases()] == [release]


def test_an_absent_registry_lists_nothing(registry):
    assert registry.releases() == []
    assert registry.current() is None


def test_before_the_first_release_the_way_to_one_is_told(registry):
    with pytest.raises(ReleaseError, match="no release in .*registry yet; make one by `recbench"):
        registry.open()


def test_an_unknown_release_is_told_with_the_latest(registry, seal):
    release = seal().manifest.release
    with pytest.raises(ReleaseError, match=rf"no release '{UNKNOWN}' .*latest are \['{release}'\]"):
        registry.open(UNKNOWN)


@pytest.mark.parametrize(
    "name", ["..", "../registry", "", "Current", "20260101T120000Z", f"{UNKNOWN}/", f"x{UNKNOWN}"]
)
def test_a_name_that_is_no_id_leads_nowhere(registry, seal, name):
    seal()
    with pytest.raises(ReleaseError, match="is no release"):
        registry.open(name)


@pytest.mark.parametrize("name", ["../../etc", "index.txt", f".draft-{UNKNOWN}"])
def test_publish_takes_ids_only(registry, seal, name):
    seal()
    with pytest.raises(ReleaseError, match="is no release"):
        registry.publish(name)
    assert registry.current() is None


def test_a_release_may_be_opened_by_its_folder(registry, seal, tmp_path):
    sealed = seal()
    copied = tmp_path / "copy"
    shutil.copytree(sealed.folder, copied)
    assert registry.open(str(copied)).path("index.txt").parent == copied


def test_a_release_of_elsewhere_cannot_be_published(registry, seal, tmp_path):
    shutil.copytree(seal().folder, tmp_path / "copy")
    other = Registry(tmp_path / "other")
    with pytest.raises(ReleaseError, match=r"copy is not release .* of .*other: only"):
        other.publish(str(tmp_path / "copy"))
    assert other.current() is None


def test_a_folder_of_the_registry_can_be_published_by_path(registry, seal):
    sealed = seal()
    registry.publish(str(sealed.folder))
    assert registry.current() == sealed.manifest.release


def test_the_pointer_forgets_what_was_long_ago(registry, seal, monkeypatch):
    monkeypatch.setattr("recbench.refresh.registry.REMEMBERED", 2)
    ids = [seal(text, second).manifest.release for second, text in enumerate("abcd")]
    for release in ids:
        registry.publish(release)
    held = json.loads((registry.path / "current").read_text())
    assert held == {"release": ids[3], "earlier": [ids[2], ids[1]]}


def test_a_draft_that_was_not_sealed_leaves_nothing(registry):
    with registry.draft() as draft:
        (draft / "half.txt").write_text("half")
    assert names(registry) == []


def test_the_manifest_on_disk_binds_every_file(seal):
    sealed = seal()
    assert Manifest.read(sealed.folder) == sealed.manifest
    assert sorted(sealed.manifest.files) == ["index.txt", "tower.txt"]
    # echo -n index | sha256sum
    assert sealed.manifest.files["index.txt"] == {
        "sha256": "1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6",
        "bytes": 5,
    }


def test_a_path_that_leads_nowhere_is_no_release(registry):
    with pytest.raises(ReleaseError, match="'/no/where' is no release: there is no such folder"):
        registry.open("/no/where")
