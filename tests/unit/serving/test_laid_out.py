"""What is laid out for the workers answers as what was loaded from the release itself."""

import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import fields

import numpy as np
import psutil
import pytest

from recbench.errors import ReleaseError
from recbench.index import ApproximateIndex, ApproximateSettings
from recbench.refresh import Registry
from recbench.serving import scratch as scratch_module
from recbench.serving import standby as standby_module
from recbench.serving.answer import answer_list
from recbench.serving.laid_out import lay_out, open_laid_out
from recbench.serving.options import Limits
from recbench.serving.prepare import prepared
from recbench.serving.requests import parse_recommend
from recbench.serving.scratch import scratch_folder
from recbench.serving.served_release import ServedRelease
from recbench.serving.standby import Standby, StandbyProcess

USERS = (1, 2, 3, 99)
MODULE = "recbench.serving.standby"


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """What is kept lays releases out, however long it takes to start."""
    monkeypatch.setattr(standby_module, "PATIENCE_S", 600.0)


@pytest.fixture
def release(seal_toy):
    return seal_toy(tombstones=(3,)).release


@pytest.fixture
def manifest(release):
    return release.folder / "manifest.json"


def lists(served):
    bodies = [b'{"user_id": %d, "k": 5}' % user for user in USERS]
    bodies += [
        b'{"user_id": 1, "filters": {"categories": ["%s"]}}' % name.encode()
        for name in served.categories
    ]
    answers = [answer_list(served, parse_recommend(body, Limits()), None) for body in bodies]
    return [(answer.item_ids, answer.scores.tolist(), answer.served) for answer in answers]


def test_it_answers_as_the_release_does(release, tmp_path):
    loaded = ServedRelease.load(release)
    lay_out(release, tmp_path)
    opened = open_laid_out(tmp_path)
    assert lists(opened) == lists(loaded)
    assert opened.items == loaded.items
    for field in fields(loaded):
        if field.name not in {"tower", "index", "histories", "items"}:
            before, after = getattr(loaded, field.name), getattr(opened, field.name)
            np.testing.assert_equal(after, before)


def test_a_large_catalogue_keeps_its_index(release, tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20_000, 9), dtype=np.float32)
    settings = ApproximateSettings(codes="fp16", n_lists=50, n_probes=10, oversample=3)
    index = ApproximateIndex.build(rows, settings)
    index.save(tmp_path / "index.faiss")
    again = ApproximateIndex.load(tmp_path / "index.faiss", rows, settings)
    np.testing.assert_array_equal(again.search(rows[:9], k=5)[0], index.search(rows[:9], k=5)[0])
    again.release()  # mapped pages are nobody's to free
    assert (index.search(rows[:9], k=5)[0][:, 0] >= 0).all()


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / ("a folder whose path is too long for an address of a socket " * 2)
    folder.mkdir()
    return folder


@pytest.fixture
def kept(scratch):
    """The process that lays out, as the service keeps it, though tests leave it no idle time."""
    process = StandbyProcess(scratch, is_idle=False)
    yield process
    process.close()


@pytest.fixture
def standby(scratch, kept):
    with kept.start():
        yield Standby(scratch)


@pytest.fixture
def worker(kept):
    """A thread for who asks; it ends with the test, whatever has become of that."""
    with ThreadPoolExecutor(1) as thread:
        yield thread
        kept.close()  # who still waits hears so


def standbys():
    """Ours that run; the dead wait here for whoever started them."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            while not (command := child.cmdline()):  # it has just begun
                time.sleep(0.001)
            if MODULE in command:
                found.append(child)
    return found


def fifo_in_place_of(file):
    """To read it takes for ever, or as long as it is written to."""
    file.unlink()
    os.mkfifo(file)


def write_on(writing):
    """As long as anybody reads."""
    while True:
        os.write(writing, b" ")
        time.sleep(0.01)


@contextmanager
def once_read(fifo):
    """Begins when somebody reads it; they get only what is written as long as it goes on."""
    while True:
        try:
            writing = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody does yet
            time.sleep(0.01)
        else:
            break
    try:
        yield writing
    finally:
        os.close(writing)


@pytest.mark.parametrize("apart", [False, True])
def test_workers_share_one_layout_and_the_next_takes_its_place(seal_toy, scratch, apart, standby):
    beside = standby if apart else None
    first = seal_toy().release
    registry = Registry(first.folder.parent)
    served = prepared(registry, first.manifest.release, scratch, standby=beside)
    laid_out = {path: path.stat().st_mtime_ns for path in scratch.glob("*/*")}
    again = prepared(registry, first.manifest.release, scratch, standby=beside)
    assert {path: path.stat().st_mtime_ns for path in scratch.glob("*/*")} == laid_out
    second = seal_toy(created="2026-01-02T00:00:09+00:00").release
    prepared(registry, second.manifest.release, scratch, standby=beside)
    assert [path.name for path in scratch.glob("[!.]*")] == [second.manifest.release]
    assert lists(served) == lists(again)  # mapped pages stay when their files go


def test_a_damaged_release_is_not_laid_out(release, scratch, standby):
    index = release.folder / "index.safetensors"
    index.write_bytes(index.read_bytes()[:-1] + b"\0")
    registry = Registry(release.folder.parent)
    for beside in (None, standby):
        with pytest.raises(ReleaseError, match="index.safetensors is not the file that was"):
            prepared(registry, release.manifest.release, scratch, standby=beside)
    assert not list(scratch.glob(f"{release.manifest.release}*"))


def test_the_process_that_lays_out_stays_for_the_next_release(seal_toy, scratch, standby):
    for second in range(2):
        release = seal_toy(created=f"2026-01-02T00:00:0{second}+00:00").release
        registry = Registry(release.folder.parent)
        prepared(registry, release.manifest.release, scratch, standby=standby)
        (process,) = standbys()
        if second == 0:
            first = process
    assert process == first


def test_who_asks_a_process_that_is_killed_waits_for_the_next_one(release, scratch, kept, worker):
    registry = Registry(release.folder.parent)
    with kept.start() as keeper:
        (first,) = standbys()
        first.suspend()
        asked = worker.submit(
            prepared, registry, release.manifest.release, scratch, standby=Standby(scratch)
        )
        wait([asked], timeout=0.5)
        assert not asked.done()
        first.kill()
        assert keeper.recv(1) == b""  # so whoever keeps it knows
        assert kept.stop() == -signal.SIGKILL
        with kept.start():
            assert lists(asked.result()) == lists(ServedRelease.load(release))


def test_who_waits_for_too_long_has_it_laid_out_by_another(
    seal_toy, scratch, standby, monkeypatch, caplog
):
    first, second = (
        seal_toy(created=f"2026-01-02T00:00:0{number}+00:00").release for number in range(2)
    )
    registry = Registry(first.folder.parent)
    (kept,) = standbys()
    kept.suspend()  # as if others took all the time
    with monkeypatch.context() as patched:
        patched.setattr(standby_module, "PATIENCE_S", 0.1)
        served = prepared(registry, first.manifest.release, scratch, standby=standby)
    assert lists(served) == lists(ServedRelease.load(first))
    assert f"{first.manifest.release} has waited 0 s to be laid out" in caplog.text
    assert standbys() == [kept]
    kept.resume()
    served = prepared(registry, second.manifest.release, scratch, standby=standby)
    assert lists(served) == lists(ServedRelease.load(second))
    assert standbys() == [kept]
    assert [path.name for path in scratch.glob("*/")] == [second.manifest.release]


@pytest.fixture
def many_files():
    """As of a service that has many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    copies = [os.dup(0) for _ in range(1_100)]
    yield
    for copy in copies:
        os.close(copy)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("by_another", [False, True])
def test_who_asks_may_have_many_files_open(
    release, scratch, standby, many_files, monkeypatch, by_another
):
    if by_another:
        monkeypatch.setattr(standby_module, "PATIENCE_S", 0.1)
        standbys()[0].suspend()
    registry = Registry(release.folder.parent)
    served = prepared(registry, release.manifest.release, scratch, standby=standby)
    assert lists(served) == lists(ServedRelease.load(release))


@pytest.fixture
def asking(release, scratch):
    """Starts a process that asks for the release."""
    path = release.folder.parent
    asks = f"from pathlib import Path\nfrom {MODULE} import Standby\n"
    asks += f"standby = Standby(Path({str(scratch)!r}))\n"
    asks += f"standby.lay_out(Path({str(path)!r}), {release.manifest.release!r}, precision='fp32')"
    processes = []

    def start(patience_s=600.0):
        first = f"import {MODULE} as module\nmodule.PATIENCE_S = {patience_s}"
        processes.append(subprocess.Popen([sys.executable, "-c", f"{first}\n{asks}"]))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("cleared", [False, True])
def test_what_nobody_waits_for_any_more_leaves_nothing_and_is_not_told(
    capfd, release, manifest, scratch, standby, asking, monkeypatch, cleared
):
    path, text = release.folder.parent, manifest.read_bytes()
    to_be_laid_out = path, release.manifest.release
    fifo_in_place_of(manifest)
    process = asking()
    with once_read(manifest) as writing:
        process.kill()  # while it is worked at
        process.wait()
        with monkeypatch.context() as patched:
            patched.setattr(standby_module, "PATIENCE_S", 0.1)
            patched.setattr(standby_module, "_asked_of_another", lambda _: b"")
            with pytest.raises(ReleaseError, match="ended, killed"):  # before it is worked at
                standby.lay_out(*to_be_laid_out, precision="fp32")
        if cleared:  # as by who has the next release laid out
            for draft in scratch.glob(".draft-*"):
                draft.rmdir()
        manifest.unlink()
        manifest.write_bytes(text)
        os.write(writing, text)
    folder = standby.lay_out(*to_be_laid_out, precision="fp32")
    assert list(scratch.glob(".draft-*")) == [folder]
    assert "ERROR" not in capfd.readouterr().err
    assert lists(open_laid_out(folder)) == lists(ServedRelease.load(release))


def test_the_other_process_ends_with_who_asked_it(manifest, kept, asking):
    fifo_in_place_of(manifest)
    process = asking(patience_s=0.1)
    with once_read(manifest) as writing:  # what is kept was never started
        process.kill()
        with pytest.raises(BrokenPipeError):
            write_on(writing)


def test_a_release_that_kills_what_lays_it_out_is_refused(release, manifest, scratch, kept, worker):
    registry = Registry(release.folder.parent)
    fifo_in_place_of(manifest)
    asked = worker.submit(
        prepared, registry, release.manifest.release, scratch, standby=Standby(scratch)
    )
    for _ in range(2):
        with kept.start() as keeper:
            (process,) = standbys()
            with once_read(manifest):
                process.kill()
                assert keeper.recv(1) == b""
            kept.stop()
    with pytest.raises(ReleaseError, match="is not laid out: the process that was at it ended"):
        asked.result()


def test_what_lays_out_ends_with_whoever_keeps_it(scratch, kept):
    with kept.start():
        (process,) = standbys()
    process.wait(60)


def test_a_service_that_was_killed_leaves_its_folder_to_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    left = tmp_path / "recbench-serve-left"
    left.mkdir()
    (left / ".owned").touch()
    with scratch_folder() as ours:
        assert not left.exists()
        with scratch_folder() as theirs:
            assert ours.is_dir()
            assert theirs != ours
        assert not theirs.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("named", "room", "is_in_memory"), [(False, 0, True), (False, 1 << 60, False), (True, 0, False)]
)
def test_what_is_shared_lies_in_memory_where_there_is_room_and_no_other_place_is_named(
    tmp_path, monkeypatch, named, room, is_in_memory
):
    memory, other = tmp_path / "memory", tmp_path / "other"
    memory.mkdir()
    other.mkdir()
    monkeypatch.setattr(scratch_module, "MEMORY", memory)
    monkeypatch.setattr(scratch_module, "ROOM", room)
    monkeypatch.setattr("tempfile.tempdir", str(other))
    monkeypatch.delenv("TMPDIR", raising=False)
    if named:
        monkeypatch.setenv("TMPDIR", str(other))
    with scratch_folder() as folder:
        assert folder.parent == (memory if is_in_memory else other)
        assert folder.stat().st_mode & 0o077 == 0


def test_memory_that_is_not_there_or_not_ours_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch_module, "MEMORY", tmp_path / "nowhere")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("TMPDIR", raising=False)
    with scratch_folder() as folder:
        assert folder.parent == tmp_path
