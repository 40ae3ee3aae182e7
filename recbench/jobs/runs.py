"""The runs there are: found by name, read, compared."""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbench.errors import InputError
from recbench.jobs.manifest import Manifest, recorded
from recbench.tracking import flat_metrics

__all__ = [
    "Run",
    "environment_differences",
    "find_notebook",
    "find_run",
    "list_runs",
    "surroundings",
]


FOLDER_TIME = "%Y%m%dT%H%M%SZ"
FILES = ("manifest.json", "metrics.json", "metrics.jsonl")  # one of them makes a folder a run


@dataclass(frozen=True, slots=True)
class Run:
    """One folder of runs.

    ``manifest`` is None where a lab session recorded without a job, or where it cannot be read;
    ``damage`` says what cannot. ``data`` is what was read, ``releases`` the folder of each release
    made, by id.
    """

    folder: Path
    manifest: Manifest | None
    metrics: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    releases: dict[str, str] = field(default_factory=dict)
    damage: str | None = None

    @property
    def status(self) -> str:
        """The manifest's state; without one ``interactive``, or ``damaged``."""
        if self.manifest:
            return self.manifest.state()
        return "damaged" if self.damage else "interactive"

    @property
    def notebook(self) -> str:
        """The notebook's name, also where only the folder tells it."""
        if self.manifest:
            return Path(self.manifest.notebook).stem
        return "-".join(self.folder.name.split("-")[1:-1])

    @property
    def started_at(self) -> datetime | None:
        """When it began, also where only the folder tells it; None: nothing does."""
        if self.manifest and self.manifest.started_at:
            return datetime.fromisoformat(self.manifest.started_at)
        try:
            stamp = datetime.strptime(self.folder.name.split("-")[0], FOLDER_TIME)
        except ValueError:
            return None
        return stamp.replace(tzinfo=UTC)

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """The run in ``folder``, metrics flattened (``ndcg@20/known/value``).

        Raises:
            InputError: the folder holds no run, or one that is damaged.
        """
        run = cls.look_at(folder)
        if run.damage:
            raise InputError(run.damage)
        return run

    @classmethod
    def look_at(cls, folder: Path) -> "Run":
        """As ``read``, but what cannot be read is told by ``damage``."""
        damages: list[str] = []

        def tried(read: Callable[[], Any], otherwise: Any) -> Any:
            try:
                return read()
            except (InputError, OSError) as error:
                damages.append(str(error))
                return otherwise

        is_interactive = _is_run(folder) and not (folder / "manifest.json").exists()
        manifest = None if is_interactive else tried(lambda: Manifest.read(folder), None)
        metrics = tried(lambda: recorded(folder, "metrics.json"), {})
        told = tried(lambda: recorded(folder, "tracking.json"), {})  # also of a run in progress
        return cls(
            folder,
            manifest,
            flat_metrics(metrics),
            data=(manifest and manifest.data) or _mapping(told, "data"),
            releases=(manifest and manifest.releases) or _mapping(told, "releases"),
            damage="; ".join(damages) or None,
        )


def list_runs(runs: Path) -> list[Run]:
    """Every run below ``runs``, oldest first, damaged ones too; other folders are passed over."""
    return [Run.look_at(folder) for folder in _run_folders(runs)]


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


def surroundings(manifest: Manifest) -> dict[str, Any]:
    """What a run ran in: notebook, code, lock, Python, machine and package versions, by name."""
    environment = dict(manifest.environment)
    packages: dict[str, Any] = environment.pop("packages", {})
    return {"notebook_sha256": manifest.notebook_sha256} | manifest.code | environment | packages


def environment_differences(before: Manifest, after: Manifest) -> list[tuple[str, Any, Any]]:
    """What differs between two runs besides parameters and results: (what, before, after).

    Code, lock, notebook, Python, machine and package versions.
    """
    left, right = surroundings(before), surroundings(after)
    names = [*left, *(name for name in right if name not in left)]
    return [
        (name, left.get(name), right.get(name))
        for name in names
        if left.get(name) != right.get(name)
    ]


def _run_folders(runs: Path) -> Iterator[Path]:
    if runs.is_dir():
        yield from sorted(folder for folder in runs.iterdir() if _is_run(folder))


def _is_run(folder: Path) -> bool:
    """Hidden folders are on their way out."""
    return not folder.name.startswith(".") and any((folder / name).is_file() for name in FILES)


def _mapping(content: dict[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean `{close[0]}`?" if close else ""
