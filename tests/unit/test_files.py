"""Files appear whole or not at all."""

import errno
import hashlib
import json
from pathlib import Path

import pytest

from recbench.files import sha256_of, sync_directory, whole_file, write_json


def test_file_appears_only_after_the_block_and_in_a_new_folder(tmp_path):
    path = tmp_path / "new" / "report.txt"
    with whole_file(path) as draft:
        draft.write_text("all of it")
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_failure_keeps_the_old_content_and_leaves_no_draft(tmp_path, failure):
    path = tmp_path / "report.txt"
    path.write_text("old")

    def interrupted_write():
        with whole_file(path) as draft:
            draft.write_text("half of")
            raise failure

    with pytest.raises(type(failure)):
        interrupted_write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_block_that_writes_nothing_is_an_error(tmp_path):
    path = tmp_path / "report.txt"
    with pytest.raises(FileNotFoundError, match=r"report\.txt"), whole_file(path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_writers_do_not_share_a_draft(tmp_path):
    path = tmp_path / "report.txt"
    with whole_file(path) as first, whole_file(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the outer block ends last


def test_json_keeps_order_and_writes_paths_as_text(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"z": 1.5, "a": Path("lake")})
    assert path.read_text() == '{\n  "z": 1.5,\n  "a": "lake"\n}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_json_does_not_know(tmp_path, value):
    path = tmp_path / "metrics.json"
    write_json(path, {"ndcg": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"ndcg": value})
    assert json.loads(path.read_text()) == {"ndcg": 0.5}


def test_sha256_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(b"recbench" * 100_000)
    assert sha256_of(path) == hashlib.sha256(b"recbench" * 100_000).hexdigest()


def test_missing_folder_cannot_be_synced(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        sync_directory(tmp_path / "nowhere")
