"""Fetch a file over HTTP: resumed where it stopped, checked, and never half in the cache."""

import hashlib
import http.client
import logging
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from recbench.errors import DownloadError
from recbench.files import sync_directory, whole_file
from recbench.progress import bar

__all__ = ["checksum_of", "download", "verify"]

CHUNK_BYTES = 1 << 18
logger = logging.getLogger(__name__)

FINISHED = 416  # the server's word for a range that starts at the end


def download(
    url: str, target: Path, *, checksum: str | None, timeout_s: float = 30.0, show: bool = True
) -> Path:
    """``target`` with the content of ``url``; a file that is there already is not fetched again.

    What arrived before an interruption stays in ``target.part`` and is continued; without a
    checksum only where the server says, by an ETag, that the file is still the same. Where the
    source states no checksum, that of the file that came is kept in ``target.sha256``.

    Args:
        url: http or https.
        target: where the file goes.
        checksum: ``"sha256:…"`` or ``"md5:…"``; None where the source states none.
        timeout_s: seconds without an answer before giving up.
        show: draw a progress bar.

    Raises:
        DownloadError: no answer, a broken transfer, or another content than ``checksum``.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        _fetch(
            url,
            part,
            headers=_rest_of(part, checked=checksum is not None),
            timeout_s=timeout_s,
            show=show,
        )
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as bad:
        reason = getattr(bad, "reason", None) or bad
        raise DownloadError(f"{url} could not be fetched: {reason}") from bad
    if checksum is not None:
        verify(part, checksum, name=url, on_mismatch=lambda: _forget(part))
    else:
        _record(part, target, url=url)
    part.replace(target)
    _forget(part)
    sync_directory(target.parent)
    return target


def verify(
    path: Path, checksum: str, *, name: str, on_mismatch: Callable[[], None] | None = None
) -> None:
    """Nothing, if ``path`` has this checksum.

    Raises:
        DownloadError: it has another one.
    """
    found = checksum_of(path, checksum.partition(":")[0])
    if found != checksum:
        if on_mismatch is not None:
            on_mismatch()
        raise DownloadError(
            f"{name} has the checksum {found}, expected {checksum}: the file was changed or "
            "damaged on its way, and was not used. Try again"
        )


def checksum_of(path: Path, algorithm: str) -> str:
    """``algorithm:hexadecimal digest`` of the file."""
    with path.open("rb") as stream:
        return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"


def _record(part: Path, target: Path, *, url: str) -> None:
    found = checksum_of(part, "sha256")
    record = target.with_name(target.name + ".sha256")
    with whole_file(record) as draft:
        draft.write_text(f"{found.removeprefix('sha256:')}  {target.name}\n")
    logger.warning("%s states no checksum; what came is %s, noted in %s", url, found, record)


def _tag_of(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_of(part).unlink(missing_ok=True)


def _rest_of(part: Path, *, checked: bool) -> dict[str, str]:
    """The headers that ask for what ``part`` lacks; none to ask for the whole file."""
    have = part.stat().st_size if part.exists() else 0
    tag = _tag_of(part).read_text() if _tag_of(part).exists() else ""
    if not have or not (checked or tag):
        return {}
    return {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})


def _fetch(url: str, part: Path, *, headers: dict[str, str], timeout_s: float, show: bool) -> None:
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == FINISHED and headers:
            return
        raise
    goes_on = answer.status == http.HTTPStatus.PARTIAL_CONTENT
    tag = answer.headers.get("ETag", "")
    _tag_of(part).write_text("" if tag.startswith("W/") else tag)
    with answer, part.open("ab" if goes_on else "wb") as to:
        length = answer.headers.get("Content-Length")
        received = 0
        with bar(
            int(length) if length else None,
            label=part.name.removesuffix(".part"),
            unit="B",
            unit_scale=True,
            stream=sys.stderr,
            disable=not show,
        ) as done:
            while chunk := answer.read(CHUNK_BYTES):
                to.write(chunk)
                received += len(chunk)
                done.update(len(chunk))
        if length and received < int(length):
            raise ConnectionError(f"the connection ended after {received} of {length} bytes")
        to.flush()
        os.fsync(to.fileno())
