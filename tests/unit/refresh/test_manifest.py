"""What is read as a manifest, and what is refused."""

import dataclasses
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


@pytest.mark.parametrize(("content", "told"), [({"format": 2}, "2"), ({}, "None"), ([1], r"\[1\]")])
def test_an_unknown_format_is_refused(tmp_path, content, told):
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ReleaseError, match=f"has format {told}, this version reads 1"):
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


def test_the_manifest_does_not_hash_itself(tmp_path, a_manifest):
    (tmp_path / "index.txt").write_text("index")
    a_manifest().write(tmp_path)
    assert list(hashed_files(tmp_path)) == ["index.txt"]


def test_a_release_id_has_one_form():
    assert as_release_id("20260131T120000Z-0a1b2c3d") == "20260131T120000Z-0a1b2c3d"
    assert not is_release_id("20260131T120000Z-0A1B2C3D")
    with pytest.raises(ReleaseError, match="'latest' is no release id, such as 2026"):
        as_release_id("latest")
