"""The runs there are: found by name, read, compared."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbench.errors import InputError
from recbench.jobs.manifest import Manifest, recorded
from recbench.tracking import flat_metrics

__all__ = ["Run", "environment_differences", "find_notebook", "find_run", "list_runs"]


@dataclass(frozen=True, slots=True)
class Run:
    """One folder of runs; ``manifest`` is None where a lab session recorded without a job."""

    folder: Path
    manifest: Manifest | None
    metrics: dict[str, Any]

    @property
    def status(self) -> str:
        """The manifest's state; ``interactive`` without one."""
        return self.manifest.state() if self.manifest else "interactive"

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """The run in ``folder``, metrics flattened (``ndcg@20/known/value``).

        Raises:
            InputError: the folder holds neither a manifest nor metrics.
        """
        is_interactive = _is_run(folder) and not (folder / "manifest.json").exists()
        manifest = None if is_interactive else Manifest.read(folder)
        return cls(folder, manifest, flat_metrics(recorded(folder, "metrics.json")))


def list_runs(runs: Path) -> list[Run]:
    """Every run below ``runs``, oldest first; other folders are passed over."""
    return [Run.read(folder) for folder in _run_folders(runs)]


def find_run(name: str, runs: Path) -> Path:
    """The folder of the run that ``name`` means: a folder, its name, or the id at the name's end.

    Raises:
        InputError: no run, or several, have that name.
    """
    given = Path(name)
    if _is_run(given):
        return given.absolute()
    found = [folder for folder in _run_folders(runs) if name and folder.name.endswith(name)]
    if len(found) == 1:
        return found[0].absolute()
    if found:
        raise InputError(f"`{name}` means {len(found)} runs: {', '.join(f.name for f in found)}")
    known = [folder.name for folder in _run_folders(runs)]
    raise InputError(
        f"There is no run `{name}` below `{runs}`.{_hint(name, known)} "
        "`recbench runs list` shows them"
    )


def find_notebook(name: str, notebooks: Path) -> Path:
    """The notebook file that ``name`` means: a path, or a name below ``notebooks``.

    Raises:
        InputError: there is none; the message names the closest one and lists them all.
    """
    for path in (Path(name), notebooks / name, notebooks / f"{name}.ipynb"):
        if path.suffix == ".ipynb" and path.is_file():
            return path
    known = sorted(path.stem for path in notebooks.glob("*.ipynb"))
    listed = ", ".join(known) or "none"
    hint = _hint(Path(name).stem, known)
    raise InputError(f"There is no notebook `{name}`.{hint} `{notebooks}` has: {listed}")


def environment_differences(before: Manifest, after: Manifest) -> list[tuple[str, Any, Any]]:
    """What differs between two runs besides parameters and results: (what, before, after).

    Code, lock, notebook, Python, machine and package versions.
    """
    left, right = _surroundings(before), _surroundings(after)
    names = [*left, *(name for name in right if name not in left)]
    return [
        (name, left.get(name), right.get(name))
        for name in names
        if left.get(name) != right.get(name)
    ]


def _surroundings(manifest: Manifest) -> dict[str, Any]:
    environment = dict(manifest.environment)
    packages: dict[str, Any] = environment.pop("packages", {})
    return {"notebook_sha256": manifest.notebook_sha256} | manifest.code | environment | packages


def _run_folders(runs: Path) -> Iterator[Path]:
    if runs.is_dir():
        yield from sorted(folder for folder in runs.iterdir() if _is_run(folder))


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("manifest.json", "metrics.json"))


def _hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean `{close[0]}`?" if close else ""
