"""Build one of the project's virtual environments, whole or not at all; needs Python 3.11+ only.

    python environments/install.py cpu|obp|peers|flink

`cpu` goes to `.venv`, `obp` to `.venv-obp`, and so on. A finished environment holds a
stamp of what it was built from; as long as that is unchanged nothing is done. Without the stamp
(an interrupted build, another lock) it is built anew.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

__all__ = ["folder_of", "is_ready", "main", "stamp_of"]

ROOT = Path(__file__).resolve().parent.parent
PIP = "pip==26.3"
OURS = ".made-by-recbench"
STAMP = ".complete"
# RecBole 1.2.1 needs a ray that has no wheel for Python 3.12.
PYTHONS = {
    "cpu": ["3.11", "3.12"],
    "obp": ["3.11", "3.12"],
    "peers": ["3.11"],
    "flink": ["3.11", "3.12"],
}
# What each environment is for. Importing it shows that the build works, and leaves the bytecode of
# just these modules: compiling everything would take longer than downloading it.
IMPORTS = {
    "cpu": "deltalake, duckdb, hypothesis, implicit, lightning, matplotlib.pyplot, nbconvert, "
    "onnxruntime, onnxscript, papermill, polars, pytest, torch.onnx, wandb",
    "obp": "obp.dataset, obp.utils",
    "peers": "recbole.model.general_recommender, rectools.metrics",
    "flink": "pyflink.datastream, pyflink.table",
}
# Flink's connector to Kafka is in no wheel of Apache's. This one redistributes it among jars of an
# older Flink, so it is not installed: just these jars are laid beside ours, in `connectors/`.
CONNECTORS_WHEEL = "shigawire-apache-flink-libraries==2.0.0.post1"
CONNECTORS_SHA256 = "aaa65537d3f0c0ff279185d8243024f0efd95788ba044bf249ba0f40b69289cd"
CONNECTORS = [
    "flink-connector-base.jar",
    "flink-connector-kafka.jar",
    "kafka-clients.jar",
    "lz4-java.jar",  # this and the next two unpack compressed messages
    "snappy-java.jar",
    "zstd-jni.jar",
]


def main(arguments: list[str]) -> None:
    """Make the environment named on the command line ready, or exit 1 saying what failed."""
    if len(arguments) != 1 or arguments[0] not in PYTHONS:
        sys.exit(f"Name one environment of: {', '.join(PYTHONS)}; got {arguments}")
    name, version = arguments[0], ".".join(map(str, sys.version_info[:2]))
    if version not in PYTHONS[name]:
        needed = " or ".join(PYTHONS[name])
        sys.exit(f"`{name}` needs Python {needed}, this is {version}; name one: make PYTHON=…")
    if is_ready(folder_of(name), stamp_of(name)):
        return
    try:
        _build(name)
    except subprocess.CalledProcessError as error:
        sys.exit(f"Could not build the environment `{name}`: {_explained(error)}")
    except KeyboardInterrupt:
        sys.exit("Interrupted; the same command starts this environment again")


def folder_of(name: str) -> Path:
    """Where the environment lives, in the project's root."""
    return ROOT / (".venv" if name == "cpu" else f".venv-{name}")


def stamp_of(name: str) -> str:
    """The checksum of all that the environment is built from: lock, Python, pip, our own metadata.

    The metadata counts for `cpu` alone, the only one with the project in it.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    made_from = {
        "lock": (ROOT / "environments" / f"{name}.lock").read_text(encoding="utf-8"),
        "python": sys.version_info[:2],
        "pip": PIP,
        "imports": IMPORTS[name],
        "project": project if name == "cpu" else None,
        "root": str(ROOT),
    }
    if name == "flink":
        made_from["connectors"] = [CONNECTORS_SHA256, *CONNECTORS]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def is_ready(folder: Path, stamp: str) -> bool:
    """Whether ``folder`` holds an environment that was finished with this ``stamp``."""
    written = folder / STAMP
    return (
        written.is_file()
        and written.read_text(encoding="utf-8") == stamp
        and (folder / "bin" / "python").exists()
    )


def _build(name: str) -> None:
    folder = folder_of(name)
    _clear(folder)
    started = time.monotonic()
    lock = ROOT / "environments" / f"{name}.lock"
    n_packages = lock.read_text(encoding="utf-8").count("==")
    _say(name, f"{folder.name}: {n_packages} packages, one to four minutes")
    # Resolved: inside an activated `.venv` it would be the very link that was just removed.
    _run([str(Path(sys.executable).resolve()), "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip"]
    install = [*pip, "install", "--quiet", "--prefer-binary", "--no-compile"]
    _run([*install, PIP])
    _run([*install, "--requirement", str(lock)])
    if name == "cpu":
        _say(name, "recbench itself")
        _run([*install, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
    if name == "flink":
        _say(name, "connectors to Kafka")
        _lay_connectors(folder, pip=pip)
    _run([*pip, "check", "--quiet"])
    _run([pip[0], "-c", f"import {IMPORTS[name]}"])
    draft = folder / f"{STAMP}.part"
    draft.write_text(stamp_of(name), encoding="utf-8")
    draft.replace(folder / STAMP)
    _say(name, f"ready after {time.monotonic() - started:.0f} s")


def _lay_connectors(folder: Path, *, pip: list[str]) -> None:
    """The jars of CONNECTORS in ``folder/connectors``; pip compares the wheel's checksum."""
    with tempfile.TemporaryDirectory() as downloads:
        wanted = Path(downloads, "wanted.txt")
        wanted.write_text(f"{CONNECTORS_WHEEL} --hash=sha256:{CONNECTORS_SHA256}\n")
        download = ["download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        _run([*pip, *download, "--dest", downloads, "--requirement", str(wanted)])
        (wheel,) = Path(downloads).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for jar in CONNECTORS:
                laid = folder / "connectors" / jar
                laid.parent.mkdir(exist_ok=True)
                laid.write_bytes(archive.read(f"pyflink/lib/{jar}"))


def _clear(folder: Path) -> None:
    """An empty ``folder`` marked as ours; one that somebody else made is left alone."""
    if folder.exists() and not (folder / OURS).exists():
        sys.exit(f"{folder} was not made by this project: move it away, or remove it, then repeat")
    if folder.exists():
        (folder / STAMP).unlink(missing_ok=True)
        shutil.rmtree(folder)
    folder.mkdir()
    (folder / OURS).touch()


def _run(command: list[str]) -> None:
    quiet = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    quiet.pop("PYTHONDONTWRITEBYTECODE", None)  # else every start would compile torch anew
    subprocess.run(command, check=True, env=quiet)


def _say(name: str, text: str) -> None:
    print(f"[{name}] {text}", flush=True)


def _explained(error: subprocess.CalledProcessError) -> str:
    if "venv" in error.cmd:
        return "python's venv module failed; Debian keeps it in the package python3-venv"
    return f"`{' '.join(error.cmd[1:4])} …` failed as shown above; repeat the command to try again"


if __name__ == "__main__":
    main(sys.argv[1:])
