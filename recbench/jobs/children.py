"""Notebooks that a notebook runs as jobs: each a run of its own, all of them in one report."""

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Self

import polars as pl

from recbench.cluster.current import current_client
from recbench.errors import InputError
from recbench.files import one_at_a_time, sha256_of
from recbench.jobs.apart import Apart
from recbench.jobs.children_record import ChildRecord, ChildrenRecord
from recbench.jobs.code_digest import code_digest
from recbench.jobs.listener import Listener
from recbench.jobs.manifest import Manifest, Status, recorded
from recbench.jobs.on_cluster import OnCluster
from recbench.jobs.parameters import resolve_parameters
from recbench.jobs.progress import Bar
from recbench.jobs.run import RunFailedError, Way, notebook_parameters, resume_run, run_notebook
from recbench.jobs.runs import find_notebook
from recbench.settings import notebooks_path, runs_path, workspace_path
from recbench.tracking import flat_metrics, job_folder

__all__ = [
    "Asked",
    "Child",
    "children_as_they_end",
    "children_table",
    "run_child",
    "run_children",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A notebook to be run as a child.

    ``notebook``: a file, or a name in the notebooks' folder. ``name``: of the child, once in a
    parent; empty: the notebook's. ``inputs``: whatever else decides what comes out, such as a data
    version; by their ``repr``.
    """

    notebook: str | Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    inputs: Sequence[Any] = ()

    @property
    def known_as(self) -> str:
        """The child's name."""
        return self.name or Path(self.notebook).stem


@dataclass(frozen=True, slots=True)
class Child:
    """A child that has ended; ``is_reused``: an earlier attempt of the parent had finished it."""

    name: str
    folder: Path
    status: Status
    error: str | None
    duration_s: float | None
    metrics: dict[str, Any]  # as recorded
    data: dict[str, Any]  # lake version by data set
    releases: dict[str, str]  # folder of each release made, by id
    is_reused: bool = False

    @classmethod
    def of(cls, name: str, folder: Path, *, is_reused: bool = False) -> "Child":
        """What the run's folder says."""
        manifest = Manifest.read(folder)
        return cls(
            name,
            folder,
            manifest.state(),
            manifest.error,
            manifest.duration_s,
            recorded(folder, "metrics.json"),
            manifest.data,
            manifest.releases,
            is_reused,
        )

    def table(self, name: str) -> pl.DataFrame:
        """A table that the child recorded.

        Raises:
            InputError: it recorded none of that name.
        """
        path = self.folder / "tables" / f"{name}.parquet"
        if not path.exists():
            known = sorted(found.stem for found in path.parent.glob("*.parquet"))
            raise InputError(f"`{self.folder.name}` recorded no table {name!r}; it has {known}")
        return pl.read_parquet(path)


def run_child(
    notebook: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    name: str = "",
    inputs: Sequence[Any] = (),
    check: bool = True,
) -> Child:
    """``run_children`` of one notebook."""
    asked = Asked(notebook=notebook, parameters=parameters or {}, name=name, inputs=inputs)
    return run_children([asked], check=check)[0]


def run_children(asked: Sequence[Asked], *, at_once: int = 1, check: bool = True) -> list[Child]:
    """Run notebooks as jobs of their own, and wait for them; in the order asked for.

    Each has its own folder, report and W&B run in this job's group; this job's report lists them
    with what they recorded. They run on the workers of this job's cluster, else in processes that
    end with this one. In a job that is resumed a child that had succeeded is not run again, and one
    that had not is resumed, unless its notebook, parameters or inputs are others now.

    Args:
        asked: which, and with what.
        at_once: how many may run at the same time.
        check: whether a failed child is an error; else its ``status`` says so.

    Raises:
        InputError: no such notebook, parameters that it cannot take, a name that is used twice;
            nothing has run then.
        RunFailedError: a child failed or was killed. Those that run are waited for, no other is
            begun.
    """
    record = ChildrenRecord.of(job_folder())
    planned = [_Planned.of(each, record) for each in asked]
    label = asked[0].known_as if len(asked) == 1 else "children"
    with _Crew(at_once, check=check, total=len(planned), label=label) as crew:
        ended = {child.name: child for child in crew.as_they_end(planned)}
    return [ended[each.name] for each in planned]


def children_as_they_end(
    asked: Iterable[Asked], *, total: int, at_once: int = 1, label: str = "children"
) -> Iterator[Child]:
    """As ``run_children``, but each is given as soon as it has ended, failed ones too.

    Args:
        asked: drawn from whenever another may begin, so that it can heed those that have ended.
        total: how many they will be, for the bar.
        at_once: how many may run at the same time.
        label: of the bar.

    Raises:
        InputError: as ``run_children``, when it comes to that child.
    """
    record = ChildrenRecord.of(job_folder())
    planned = (_Planned.of(each, record) for each in asked)
    with _Crew(at_once, check=False, total=total, label=label) as crew:
        yield from crew.as_they_end(planned)


def children_table(children: Sequence[Child], metrics: Sequence[str] = ()) -> pl.DataFrame:
    """``child, status, seconds, run``, and the named metrics (``ndcg@20/known/value``)."""
    rows = [
        {
            "child": child.name,
            "status": child.status + ", earlier" * child.is_reused,
            "seconds": child.duration_s,
            **{metric: flat_metrics(child.metrics).get(metric) for metric in metrics},
            "run": child.folder.name,
        }
        for child in children
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A child whose notebook is there and can take its parameters."""

    name: str
    notebook: Path
    parameters: Mapping[str, Any]
    fingerprint: str
    record: ChildrenRecord

    @classmethod
    def of(cls, asked: Asked, record: ChildrenRecord) -> "_Planned":
        path = find_notebook(str(asked.notebook), notebooks_path())
        resolved = resolve_parameters(
            notebook_parameters(path), asked.parameters, source=f"`{path.name}`"
        )
        record.claim(asked.known_as)
        decides = [sha256_of(path), resolved, *map(repr, asked.inputs), code_digest()]
        text = json.dumps(decides, sort_keys=True, default=repr)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return cls(asked.known_as, path, asked.parameters, digest, record)

    def carried_out(self, heard: "_Heard", check: bool) -> Child:
        """Run, resumed, or found finished."""
        earlier = self._earlier()
        client = current_client()
        way: Way = Apart() if client is None else OnCluster(client)
        try:
            if earlier is None:
                run_notebook(
                    self.notebook,
                    self.parameters,
                    runs=runs_path(),
                    workspace=workspace_path(),
                    listener=heard,
                    way=way,
                )
            elif Manifest.read(earlier).state() == "succeeded":
                heard.on_end()
                return Child.of(self.name, earlier, is_reused=True)
            else:
                heard.on_folder(earlier)
                resume_run(earlier, workspace=workspace_path(), listener=heard, way=way)
        except RunFailedError:
            if check:
                raise
        heard.on_end()
        assert heard.folder is not None
        return Child.of(self.name, heard.folder)

    def _earlier(self) -> Path | None:
        """The run of the same child in an earlier attempt of the parent, once it has ended."""
        known = self.record.children().get(self.name)
        if known is None or known.fingerprint != self.fingerprint:
            return None
        folder = runs_path() / known.run
        if not (folder / "manifest.json").exists():
            return None
        with one_at_a_time(folder):  # its attempt outlives the parent's by seconds
            return folder


class _Crew:
    """Carries children out, some at once; when its block ends early, what runs is cancelled."""

    def __init__(self, at_once: int, *, check: bool, total: int, label: str) -> None:
        if at_once < 1:
            raise InputError(f"`at_once` must be at least 1, got {at_once}")
        self._at_once, self._check = at_once, check
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="child")
        self._bar = Bar(total, label=label, unit="run")
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, RunFailedError):
            self._stop.set()
        self._pool.shutdown(cancel_futures=True)
        self._bar.close()

    def as_they_end(self, planned: Iterable[_Planned]) -> Iterator[Child]:
        waiting = iter(planned)
        running = {self._begun(each) for each in islice(waiting, self._at_once)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                yield each.result()
            running |= {self._begun(each) for each in islice(waiting, len(done))}

    def _begun(self, child: _Planned) -> "Future[Child]":
        heard = _Heard(child, self._bar, self._stop)
        return self._pool.submit(child.carried_out, heard, self._check)


class _Heard(Listener):
    """Tells the bar, keeps the folder in the parent's record, and may cancel the child."""

    def __init__(self, child: _Planned, bar: Bar, stop: threading.Event) -> None:
        self._child, self._bar, self._stop = child, bar, stop
        self.folder: Path | None = None

    def on_folder(self, folder: Path) -> None:
        self.folder = folder
        self._child.record.began(
            self._child.name, ChildRecord(folder.name, self._child.fingerprint)
        )

    def on_cell(self, cell: int, n_cells: int) -> None:
        self._bar.say(f"{self._child.name} {cell}/{n_cells}")

    def on_end(self) -> None:
        self._bar.step()

    def is_wanted(self) -> bool:
        return not self._stop.is_set()
