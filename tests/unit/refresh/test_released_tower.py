"""A precision is served where the release has it, and otherwise refused with the reason."""

import dataclasses

import pytest

from recbench.errors import InputError, ReleaseError
from recbench.refresh import Release
from recbench.refresh.released_tower import released_tower

WHOLE, HALF = "query_tower.onnx", "query_tower_fp16.onnx"


@pytest.fixture
def release(tmp_path, a_manifest):
    def made(*files, **exports):
        facts = {name: {"sha256": "", "bytes": 0} for name in files}
        told = {"query_tower": exports} if exports else {}
        return Release(tmp_path, dataclasses.replace(a_manifest(), files=facts, exports=told))

    return made


def test_each_precision_has_a_file_of_its_own(release, tmp_path):
    held = release(WHOLE, HALF, fp16={"file": HALF})
    assert released_tower(held) == tmp_path / WHOLE
    assert released_tower(held, "fp16") == tmp_path / HALF


def test_a_release_of_before_is_served_in_float32_only(release, tmp_path):
    assert released_tower(release(WHOLE)) == tmp_path / WHOLE
    with pytest.raises(ReleaseError, match=r"no query tower in int8: .* without\. It has \['fp32'"):
        released_tower(release(WHOLE), "int8")


def test_a_precision_that_was_left_out_says_why(release):
    held = release(WHOLE, HALF, fp16={}, int8={"left_out": "its overlap@20 is 0.4, below 0.97"})
    with pytest.raises(ReleaseError, match=r"0\.4, below 0\.97\. It has \['fp32', 'fp16'\]"):
        released_tower(held, "int8")


def test_an_unknown_precision_is_named(release):
    with pytest.raises(InputError, match="must be one of .*, got 'fp8'"):
        released_tower(release(WHOLE), "fp8")
