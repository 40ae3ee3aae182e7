"""The pinned environments agree with what the project declares, and builds are whole or nothing."""

import ast
import importlib.util
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = tomllib.loads((ROOT / "environments/packages.toml").read_text(encoding="utf-8"))
FLINK_JOB = ROOT / "recbench/features/flink/job.py"  # runs in its own environment
# what only machines with a GPU have installed: module -> distribution
ON_GPUS = {
    "cupy": ["cupy-cuda13x"],
    "cuvs": ["cuvs-cu13"],
    "pynvml": ["nvidia-ml-py"],
    "tensorrt": ["tensorrt-cu13"],
}


def _script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "environments" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = _script("generate")
install = _script("install")


def _locked(environment):
    lines = (ROOT / "environments" / PACKAGES[environment]["file"]).read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def _required(environment):
    declared = PACKAGES[environment]
    lines = list(declared["requirements"])
    if "extras" in declared:
        lines += PROJECT["dependencies"]
        for extra in declared["extras"]:
            lines += PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("environment", list(PACKAGES))
def test_lock_satisfies_every_requirement(environment):
    locked = _locked(environment)
    unmet = [
        str(requirement)
        for requirement in _required(environment)
        if locked.get(canonicalize_name(requirement.name)) not in requirement.specifier
    ]
    assert unmet == []


@pytest.mark.parametrize("environment", [name for name in PACKAGES if name != "flink"])
def test_torch_is_pinned_to_the_version_that_has_a_cpu_build(environment):
    assert _locked(environment)["torch"] == "2.13.0"


@pytest.mark.parametrize(
    ("package", "bound"),
    [
        ("polars", "<1.45"),
        ("pandas", "<3.1"),
        ("dask", "==2026.7.1"),
        ("distributed", "==2026.7.1"),
        ("cudf-cu13", "==26.10.*"),
        ("cudf-polars-cu13", "==26.10.*"),
        ("dask-cuda", "==26.10.*"),
    ],
)
def test_gpu_pins_hold_what_rapids_needs(package, bound):
    assert _locked("gpu")[package] in SpecifierSet(bound)


def test_locks_without_a_gpu_name_no_cuda_library():
    named = {name for each in ("cpu", "obp", "peers", "flink") for name in _locked(each)}
    assert [n for n in named if n.startswith(("nvidia-", "cuda-")) or n == "triton"] == []


def test_every_imported_package_is_declared():
    declared = chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    names = {canonicalize_name(Requirement(line).name) for line in declared}
    distributions = packages_distributions() | ON_GPUS
    ours = set((ROOT / "recbench").rglob("*.py")) - {FLINK_JOB}
    ours -= set((ROOT / "recbench/benchmarks/foreign").glob("*.py"))  # run elsewhere
    undeclared = {
        module
        for module in _imported_packages(ours)
        if not names & {canonicalize_name(each) for each in distributions.get(module, [module])}
    }
    assert undeclared == set()


def test_job_of_flink_imports_only_what_its_environment_holds():
    assert set(_imported_packages([FLINK_JOB])) == {"pyflink", "py4j"}
    assert {"apache-flink", "py4j"} <= set(_locked("flink"))


def _imported_packages(paths):
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module]
            else:
                continue
            packages = {module.partition(".")[0] for module in modules}
            yield from packages - sys.stdlib_module_names


def test_pins_drop_the_build_label_the_project_and_what_is_left_out():
    names = {"torch": "2.13.0+cpu", "Deprecated": "1.3.1", "recbench": "0.1.0", "nvidia-nccl": "2"}
    report = {"install": [{"metadata": {"name": n, "version": v}} for n, v in names.items()]}
    kept = generate.pins(report, leave_out=["nvidia-*"])
    assert kept == {"deprecated": "1.3.1", "torch": "2.13.0"}
    lines = generate.lock_text("cpu", kept).splitlines()
    assert lines[2:] == ["deprecated==1.3.1", "torch==2.13.0"]


def test_locks_are_installed_by_the_pip_that_resolved_them():
    assert generate.PIP == install.PIP


def test_unknown_environment_is_refused_by_both_scripts():
    with pytest.raises(SystemExit, match="'gpuu'"):
        generate.main(["gpuu"])
    with pytest.raises(SystemExit, match="gpuu"):
        install.main(["gpuu"])


def test_environment_is_ready_only_with_its_stamp_and_its_python(tmp_path):
    (tmp_path / "bin").mkdir()
    assert not install.is_ready(tmp_path, "abc")  # interrupted: no stamp
    (tmp_path / install.STAMP).write_text("abc")
    assert not install.is_ready(tmp_path, "abc")  # no interpreter
    (tmp_path / "bin" / "python").touch()
    assert install.is_ready(tmp_path, "abc")
    assert not install.is_ready(tmp_path, "another lock")


def test_interrupted_build_leaves_no_stamp_and_the_next_one_starts_anew(tmp_path, monkeypatch):
    folder = tmp_path / ".venv-obp"
    monkeypatch.setattr(install, "folder_of", lambda name: folder)
    (folder / "bin").mkdir(parents=True)
    (folder / install.OURS).touch()
    (folder / "half-written").touch()

    def interrupted(command):
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "_run", interrupted)
    with pytest.raises(SystemExit, match="Interrupted"):
        install.main(["obp"])
    assert [path.name for path in folder.iterdir()] == [install.OURS]

    monkeypatch.setattr(install, "_run", lambda command: None)
    install.main(["obp"])
    assert (folder / install.STAMP).read_text() == install.stamp_of("obp")


def test_connectors_are_taken_out_of_their_wheel_and_nothing_else(tmp_path, monkeypatch):
    wanted = []

    def download(command):
        asked, folder = Path(command[-1]), Path(command[command.index("--dest") + 1])
        wanted.append(asked.read_text())
        with zipfile.ZipFile(folder / "libraries.whl", "w") as wheel:
            for jar in [*install.CONNECTORS, "flink-core.jar"]:
                wheel.writestr(f"pyflink/lib/{jar}", f"content of {jar}")

    monkeypatch.setattr(install, "_run", download)
    install._lay_connectors(tmp_path, pip=["python", "-m", "pip"])
    assert wanted == [f"{install.CONNECTORS_WHEEL} --hash=sha256:{install.CONNECTORS_SHA256}\n"]
    laid = {path.name: path.read_text() for path in (tmp_path / "connectors").iterdir()}
    assert laid == {jar: f"content of {jar}" for jar in install.CONNECTORS}


def test_other_connectors_build_flink_anew_and_nothing_else(monkeypatch):
    before = {name: install.stamp_of(name) for name in install.PYTHONS}
    monkeypatch.setattr(install, "CONNECTORS_SHA256", "another")
    assert [name for name in before if install.stamp_of(name) != before[name]] == ["flink"]


def test_failed_step_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "folder_of", lambda name: tmp_path / "new")

    def failing(command):
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(install, "_run", failing)
    with pytest.raises(SystemExit, match="python3-venv"):
        install.main(["obp"])


def test_folder_of_somebody_else_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "folder_of", lambda name: tmp_path)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SystemExit, match="was not made by this project"):
        install.main(["obp"])
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize(("environment", "version"), [("cpu", (3, 13, 1)), ("peers", (3, 12, 1))])
def test_python_that_the_lock_does_not_serve_is_refused(environment, version, monkeypatch):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match=f"this is {version[0]}.{version[1]}"):
        install.main([environment])
