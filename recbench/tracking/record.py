"""What a run leaves behind: metrics, tables and figures in its folder, and the same in W&B."""

import json
import math
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbench.errors import InputError
from recbench.files import whole_file, write_json
from recbench.tracking.folder import job_folder, run_folder
from recbench.tracking.wandb_run import Description, WandbRun

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

__all__ = ["flat_metrics", "log_metrics", "log_release", "log_summary", "save_figure"]

PLAIN_NAME = re.compile(r"[\w.@+-]+")


def log_metrics(metrics: Mapping[str, float], *, step: int | None = None) -> None:
    """Append one point of each metric to the run's ``metrics.jsonl``, and to W&B.

    Raises:
        InputError: a value is not a finite number; nothing is written.
    """
    plain = {name: _plain(value, key=name) for name, value in metrics.items()}
    recorder = _Recorder.current()
    line = {"at": datetime.now(UTC).isoformat(), "step": step, "metrics": plain}
    with (recorder.folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, allow_nan=False) + "\n")
    recorder.wandb.log(plain, step=step)
    recorder.save_state()


def save_figure(figure: "Figure", name: str) -> Path:
    """Keep a matplotlib figure as ``figures/<name>.png``; returns the file.

    From then on the notebook shows figures as pictures, those made without pyplot, too.

    Raises:
        InputError: ``name`` is not a plain file name.
    """
    _require_plain(name)
    recorder = _Recorder.current()
    path = recorder.folder / "figures" / f"{name}.png"
    with whole_file(path) as draft:
        figure.savefig(draft, format="png", dpi=150, bbox_inches="tight")
    _show_figures_as_pictures()
    recorder.wandb.log_image(f"figures/{name}", path)
    recorder.save_state()
    return path


def log_summary(
    metrics: Mapping[str, Any],
    *,
    tables: "Mapping[str, pl.DataFrame] | None" = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Record the run's result; called once, by the notebook's last cell.

    Writes ``metrics.json`` first and tables as ``tables/<name>.parquet`` and ``.csv``, then gives
    all of it to the W&B run and closes that, whose failure changes nothing of what was written.

    Args:
        metrics: numbers, texts, or mappings and lists of them, by name.
        tables: named results worth keeping whole.
        data: what was read: lake version by data set.

    Raises:
        InputError: a value is NaN or infinite, or a table's name is not a plain file name; nothing
            is written then.
    """
    plain = _plain(metrics, key="metrics")
    described = _plain(data or {}, key="data")
    for name in tables or {}:
        _require_plain(name)
    recorder = _Recorder.current()
    write_json(recorder.folder / "metrics.json", plain)
    for name, table in (tables or {}).items():
        _write_table(recorder.folder / "tables" / name, table)
    recorder.data = described
    recorder.save_state()
    recorder.wandb.use_data(described)
    for name, table in (tables or {}).items():
        recorder.wandb.log_table(f"tables/{name}", table)
    recorder.wandb.finish(flat_metrics(plain))
    recorder.close()


def log_release(
    release: str, folder: Path, *, parent: Path | None, facts: Mapping[str, Any]
) -> None:
    """Remember that this job made a release; nothing happens outside of a job.

    Args:
        release: its id.
        folder: where it lies.
        parent: the release that it was made from, if there was one.
        facts: shown in W&B beside it.
    """
    if job_folder() is None:
        return
    recorder = _Recorder.current()
    recorder.releases[release] = str(folder.absolute())
    recorder.save_state()
    if parent is not None:
        recorder.wandb.use_release(parent.name, parent)
    recorder.wandb.log_release(release, folder, dict(facts))
    recorder.save_state()


def flat_metrics(metrics: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by ``/``; lists and nulls are left out.

    >>> flat_metrics({"ndcg@20": {"known": {"value": 0.2}}, "seconds": 3})
    {'ndcg@20/known/value': 0.2, 'seconds': 3}
    """
    flat: dict[str, Any] = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flat_metrics(value, prefix=f"{prefix}{key}/")
        elif value is not None and not isinstance(value, list):
            flat[f"{prefix}{key}"] = value
    return flat


class _Recorder:
    """The open run of this process; a job has one for as long as its process lives."""

    _current: "_Recorder | None" = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data: dict[str, Any] = {}
        self.releases: dict[str, str] = {}
        self.wandb = WandbRun(folder, _description(folder))
        self._saved_state = ""

    @classmethod
    def current(cls) -> "_Recorder":
        if cls._current is None or job_folder() not in {None, cls._current.folder}:
            cls._current = cls(run_folder())
            cls._current._fail_with_its_job()
        return cls._current

    def save_state(self) -> None:
        """Let the job read, in ``tracking.json``, what belongs in its manifest."""
        content = {
            "data": self.data,
            "releases": self.releases,
            "tracking": {"wandb": self.wandb.state},
        }
        if (text := str(content)) != self._saved_state:
            write_json(self.folder / "tracking.json", content)
            self._saved_state = text

    def close(self) -> None:
        self.save_state()
        if self.folder != job_folder():
            _Recorder._current = None

    def _fail_with_its_job(self) -> None:
        """A cell that raises ends a job: W&B must not show it as one that finished."""
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython and job_folder() else None
        if shell is None:
            return

        def after_cell(result: Any) -> None:
            if not result.success:
                self.wandb.fail()
                self.save_state()

        shell.events.register("post_run_cell", after_cell)


def _show_figures_as_pictures() -> None:
    """IPython does so by itself only once pyplot has been imported."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        from IPython.core.pylabtools import select_figure_formats

        select_figure_formats(shell, {"png"})  # type: ignore[no-untyped-call]  # IPython has no types here


def _description(folder: Path) -> Description:
    """What the job's manifest says; nothing where there is none."""
    path = folder / "manifest.json"
    if not path.exists():
        return Description(job_type="interactive")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    notebook = Path(manifest.get("notebook", "")).stem
    attempt = len(manifest.get("attempts", [])) + 1
    code = manifest.get("code", {})
    run = {name: manifest.get(name) for name in ("run", "group", "parent")}
    facts = run | {"notebook": notebook, "attempt": attempt, "folder": str(folder)}
    return Description(
        id=_run_id(folder, attempt),
        group=manifest.get("group"),
        job_type=notebook,
        config=manifest["parameters"] | {"run": facts | code},
    )


def _run_id(folder: Path, attempt: int) -> str:
    """The same for the same attempt of a run, so that syncing twice makes no second one."""
    name = re.sub(r"[^\w.-]", "-", folder.name)
    return name if attempt == 1 else f"{name}-{attempt}"


def _write_table(stem: Path, table: "pl.DataFrame") -> None:
    with whole_file(stem.with_name(f"{stem.name}.parquet")) as draft:
        table.write_parquet(draft)
    with whole_file(stem.with_name(f"{stem.name}.csv")) as draft:
        table.write_csv(draft)


def _plain(value: Any, *, key: str) -> Any:
    """``value`` as JSON knows it; NumPy's numbers become Python's."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, key=f"{key}/{name}") for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, key=f"{key}/{row}") for row, inner in enumerate(value)]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"`{key}` is {value}; a run records finite numbers only")
    if not isinstance(value, str | int | float | None):
        raise InputError(f"`{key}` is {value!r}; a run records numbers, texts, lists and mappings")
    return value


def _require_plain(name: str) -> None:
    if not PLAIN_NAME.fullmatch(name):
        raise InputError(f"{name!r} is not a plain file name; use letters, digits and `._@+-`")
