"""What is read as a manifest, and what is refused."""

import dataclasses
import hashlib
import json

import pytest

from recbench.errors import ReleaseError
from recbench.refresh.manifest import Manifest, as_release_id, hashed_files, is_release_id


def test_a_manifest_is_read_as_written(tmp_path, a_manifest):
    manifest = dataclasses.replace(a_manifest(), kafka_offsets={"events-0": 17})
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


def test_a_folder_without_manifest_is_no_release(tmp_path):
    with pytest.raises(ReleaseError, match=r"is no release: it has no manifest\.json"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe"])
def test_a_manifest_that_is_no_json_is_damaged(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ReleaseError, match=r"manifest\.json is damaged"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(("content", "told"), [({"format": 3}, "3"), ({}, "None"), ([1], r"\[1\]")])
def test_an_unknown_format_is_refused(tmp_path, content, told):
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ReleaseError, match=f"has format {told}, this version reads 1 and 2"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"colour": "red"}, "colour"), ({"data": None}, "data")],
)
def test_missing_and_unknown_keys_are_damage(tmp_path, a_manifest, change, told):
    content = dataclasses.asdict(a_manifest())
    (name, value) = next(iter(change.items()))
    content.pop(name, None)
    if value is not None:
        content[name] = value
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ReleaseError, match=rf"manifest\.json is damaged: .*'{told}'"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"created": "yesterday"}, "'yesterday'"),
        ({"watermark": 7}, "argument must be str"),
        ({"files": ["index.txt"]}, "no attribute 'items'"),
    ],
)
def test_values_that_cannot_be_used_are_damage(tmp_path, a_manifest, change, told):
    content = dataclasses.asdict(a_manifest()) | change
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ReleaseError, match=rf"manifest\.json is damaged: .*{told}"):
        Manifest.read(tmp_path)


def test_an_id_is_the_same_after_tuples_paths_and_numbers_became_json(tmp_path, a_manifest):
    settings = {"half_lives_s": (0.1, 1e-7), "path": tmp_path, "by_step": {10: 1, 9: 2}}
    manifest = dataclasses.replace(a_manifest(), settings=settings)
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path).own_id == manifest.own_id


def test_a_manifest_of_format_1_keeps_its_id(tmp_path, a_manifest):
    content = dataclasses.asdict(dataclasses.replace(a_manifest(), format=1))
    del content["exports"], content["index"]
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    bound = {name: content[name] for name in content if name not in {"release", "created"}}
    digest = hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()
    assert Manifest.read(tmp_path).own_id.endswith(digest[:8])


@pytest.mark.parametrize("part", ["exports", "index"])
def test_what_is_said_of_exports_and_index_is_bound(a_manifest, part):
    told = dataclasses.replace(a_manifest(), **{part: {"kind": "exact"}})
    assert told.own_id != a_manifest().own_id


def test_the_manifest_does_not_hash_itself(tmp_path, a_manifest):
    (tmp_path / "index.txt").write_text("index")
    a_manifest().write(tmp_path)
    assert list(hashed_files(tmp_path)) == ["index.txt"]


def test_a_release_id_has_one_form():
    assert as_release_id("20260131T120000Z-0a1b2c3d") == "20260131T120000Z-0a1b2c3d"
    assert not is_release_id("20260131T120000Z-0A1B2C3D")
    with pytest.raises(ReleaseError, match="'latest' is no release id, such as 2026"):
        as_release_id("latest")


@pytest.mark.parametrize("name", ["created", "watermark"])
def test_times_need_a_zone(a_manifest, name):
    with pytest.raises(ReleaseError, match=f"`{name}` must have a time zone, got '2026-01-01'"):
        dataclasses.replace(a_manifest(), **{name: "2026-01-01"})


def test_files_need_checksum_and_size(a_manifest):
    with pytest.raises(ReleaseError, match=r"sha256 and bytes of 'index', got {'bytes': 3}"):
        dataclasses.replace(a_manifest(), files={"index": {"bytes": 3}})


def test_the_watermark_in_microseconds_is_exact(a_manifest):
    manifest = dataclasses.replace(a_manifest(), watermark="1970-01-02 01:00:00.000001+01:00")
    assert manifest.watermark_us == 86_400_000_001  # one day and one microsecond


def test_the_own_id_changes_with_all_that_is_bound_and_is_the_same_when_read(tmp_path, a_manifest):
    manifest = a_manifest()
    others = [
        dataclasses.replace(manifest, **change)
        for change in ({"lake_version": 4}, {"settings": {"seed": 1}}, {"parent": "x"})
    ]
    assert len({one.own_id for one in [manifest, *others]}) == 4
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path).own_id == manifest.own_id
