"""Files come over HTTP whole and checked, or stay out of the cache."""

import errno
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from recbench.datasets import download as downloading
from recbench.datasets.download import checksum_of, download, verify
from recbench.errors import DownloadError
from recbench.loopback import free_port

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
HALF = len(CONTENT) // 2
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one file, whole or from an offset; what it does wrong is set by the test."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.content, self.tag = CONTENT, '"v1"'
        self.breaks_after, self.knows_ranges, self.stalls = None, True, threading.Event()
        self.stalls.set()
        self.ranges = []  # of each request, None where it asked for the whole file

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data.zip"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        server.stalls.wait()
        condition = self.headers.get("If-Range")
        start = 0
        if asked and server.knows_ranges and condition in {None, server.tag}:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if "missing" in self.path:
            self.send_error(404)
        elif start >= len(server.content):
            self.send_error(416)
        else:
            self.answer(start)

    def answer(self, start):
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        self.end_headers()
        self.wfile.write(body[: self.server.breaks_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.stalls.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path):
    """Downloads to ``cache/data.zip``."""

    def do(*, url=None, checksum=SHA256, **options):
        target = tmp_path / "cache" / "data.zip"
        return download(url or server.url, target, checksum=checksum, show=False, **options)

    return do


@pytest.fixture
def cached(tmp_path):
    return lambda: sorted(path.name for path in (tmp_path / "cache").iterdir())


def test_a_file_arrives_whole(fetch, cached):
    assert fetch().read_bytes() == CONTENT
    assert cached() == ["data.zip"]


def test_a_file_that_is_there_is_not_fetched_again(fetch, server):
    fetch()
    fetch()
    assert server.ranges == [None]


def test_a_broken_transfer_is_continued_where_it_stopped(fetch, server, cached):
    server.breaks_after = HALF
    with pytest.raises(DownloadError, match=f"ended after {HALF} of {len(CONTENT)} bytes"):
        fetch()
    assert "data.zip" not in cached()
    assert "data.zip.part" in cached()
    server.breaks_after = None
    assert fetch().read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert cached() == ["data.zip"]


def test_a_transfer_that_breaks_again_and_again_gets_there(fetch, server):
    server.breaks_after = 4000
    for _ in range(2):  # 4,000, then 8,000 of 10,240
        with pytest.raises(DownloadError, match="ended after 4000"):
            fetch()
    assert fetch().read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_all_again(fetch, server):
    server.breaks_after, server.knows_ranges = HALF, False
    with pytest.raises(DownloadError, match=f"ended after {HALF}"):
        fetch()
    server.breaks_after = None
    assert fetch().read_bytes() == CONTENT


def test_a_file_that_was_complete_before_the_interruption_is_taken(fetch, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "data.zip.part").write_bytes(CONTENT)
    assert fetch().read_bytes() == CONTENT


def test_two_versions_of_a_file_are_not_mixed(fetch, server, cached):
    server.breaks_after = HALF
    with pytest.raises(DownloadError, match=f"ended after {HALF}"):
        fetch(checksum=None)
    server.breaks_after, server.content, server.tag = None, CONTENT[::-1], '"v2"'
    assert fetch(checksum=None).read_bytes() == CONTENT[::-1]
    assert cached() == ["data.zip", "data.zip.sha256"]


def test_a_checksum_that_nobody_states_is_noted(fetch, caplog):
    target = fetch(checksum=None)
    noted = target.with_name("data.zip.sha256").read_text()
    assert noted == f"{SHA256.removeprefix('sha256:')}  data.zip\n"  # as sha256sum has it
    assert f"states no checksum; what came is {SHA256}" in caplog.text


def test_without_a_mark_of_its_version_an_unchecked_file_starts_anew(fetch, server):
    server.breaks_after, server.tag = HALF, None
    with pytest.raises(DownloadError, match=f"ended after {HALF}"):
        fetch(checksum=None)
    server.breaks_after, server.content = None, CONTENT[::-1]
    assert fetch(checksum=None).read_bytes() == CONTENT[::-1]


def test_another_content_leaves_nothing_in_the_cache(fetch, server, cached):
    server.content = b"something else"
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(DownloadError, match=f"checksum sha256:{found}, expected {SHA256}"):
        fetch()
    assert cached() == []


def test_an_md5_can_be_asked_for(fetch):
    fetch(checksum="md5:" + hashlib.md5(CONTENT).hexdigest())


def test_a_missing_page_is_told(fetch, server, cached):
    with pytest.raises(DownloadError, match=r"/missing could not be fetched: .*Not Found"):
        fetch(url=server.url.replace("data.zip", "missing"))
    assert cached() == []


def test_nobody_there_is_told(fetch):
    port = free_port()
    with pytest.raises(DownloadError, match=f":{port}/data.zip could not be fetched: .*refused"):
        fetch(url=f"http://127.0.0.1:{port}/data.zip")


def test_a_server_that_says_nothing_is_given_up(fetch, server):
    server.stalls.clear()
    with pytest.raises(DownloadError, match="timed out"):
        fetch(timeout_s=0.1)


def test_a_full_disk_is_not_taken_for_a_bad_server(fetch, monkeypatch, cached):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloading.os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        fetch()
    assert "data.zip" not in cached()


def test_a_checksum_is_its_algorithm_and_digest(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert checksum_of(tmp_path / "abc", "md5") == "md5:900150983cd24fb0d6963f7d28e17f72"
    verify(tmp_path / "abc", "md5:900150983cd24fb0d6963f7d28e17f72", name="abc")
    with pytest.raises(DownloadError, match="abc has the checksum md5:9001.*, expected md5:0"):
        verify(tmp_path / "abc", "md5:0", name="abc")


def test_the_bar_shows_how_far_it_is(server, tmp_path, capsys):
    download(server.url, tmp_path / "data.zip", checksum=SHA256)
    assert "data.zip: 100%" in capsys.readouterr().err
