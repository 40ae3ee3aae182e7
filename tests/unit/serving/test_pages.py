"""Pages of what is mapped are at hand before anybody reads them."""

import mmap
import platform
import sys

import psutil
import pytest

from recbench.serving import pages as module
from recbench.serving.pages import map_pages

SIZE = 64 << 20


def resident():
    return psutil.Process().memory_info().rss


@pytest.fixture
def mapped(tmp_path):
    """A file in a folder with a blank in its name, mapped and not read."""
    path = tmp_path / "a folder" / "held"
    path.parent.mkdir()
    path.write_bytes(b"\1" * SIZE)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        yield path, held


@pytest.mark.skipif(
    sys.platform != "linux" or tuple(map(int, platform.release().split(".")[:2])) < (5, 14),
    reason="needs Linux 5.14, which maps pages before they are read",
)
def test_what_is_mapped_of_a_folder_is_mapped_whole_and_nothing_else(mapped, tmp_path):
    path, held = mapped
    before = resident()
    map_pages(tmp_path / "a")  # no folder above it, though the name begins like one
    assert resident() < before + SIZE // 4
    map_pages(path.parent)
    assert resident() > before + SIZE * 3 // 4
    assert held[-1] == 1


def test_a_system_that_does_not_tell_what_is_mapped_leaves_it_to_the_readers(
    mapped, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "MAPS", tmp_path / "none")
    map_pages(mapped[0].parent)
    assert mapped[1][-1] == 1
