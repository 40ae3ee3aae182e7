"""A W&B run that never stands in the way of the run it describes."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from recbench.tracking.artifacts import as_input, data_artifact, release_artifact
from recbench.tracking.bounded import within

if TYPE_CHECKING:
    import polars as pl
    import wandb

__all__ = ["Description", "WandbRun"]

START_TIMEOUT_S = 30  # W&B's own; online, then offline
FINISH_TIMEOUT_S = 120  # W&B's own, of an upload
START_LIMIT_S, CALL_LIMIT_S, FINISH_LIMIT_S = 90.0, 30.0, 150.0  # after which we go on without it
SAMPLES_EVERY_S = 5.0  # of CPU, memory and GPU
SHOWN_ROWS = 10_000  # of a table; the folder keeps all
SERVICE = "wandb-"  # how the names of its processes begin
RELEASE, STEP = "release", "step"  # names in W&B


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """How W&B names and groups a run; ``config`` is what it was made with."""

    id: str | None = None
    group: str | None = None
    job_type: str | None = None
    config: dict[str, Any] = field(default_factory=dict)


class WandbRun:
    """Started at the first call; after its first failure, or once finished, it stays silent.

    ``state`` says how it goes: ``off``, ``not started``, ``offline``, ``online``, ``failed: …``.
    Runs are kept offline in ``<folder>/wandb``, to be synced later, unless ``WANDB_MODE`` says
    otherwise. No call takes longer than its limit, whatever W&B's service does.
    """

    def __init__(self, folder: Path, description: Description) -> None:
        self.folder = folder
        self.description = description
        self.state = "off" if os.environ.get("RECBENCH_TRACKING") == "off" else "not started"
        self._run: wandb.Run | None = None
        self._is_finished = False

    @property
    def is_open(self) -> bool:
        """Whether there is a run to finish."""
        return self._run is not None and not self._is_finished

    def log(self, metrics: Mapping[str, Any], *, step: int | None) -> None:
        """One point of each metric; W&B's own step only ever grows, and drops what comes behind."""
        point = dict(metrics) if step is None else {**metrics, STEP: step}
        self._attempt(lambda run: run.log(point))

    def log_image(self, name: str, path: Path) -> None:
        """A picture, by name."""

        def log(run: "wandb.Run") -> None:
            import wandb

            run.log({name: wandb.Image(str(path))})

        self._attempt(log)

    def log_table(self, name: str, table: "pl.DataFrame") -> None:
        """A table's first 10,000 rows, by name; what W&B has no kind for is shown as text."""

        def log(run: "wandb.Run") -> None:
            import wandb

            shown = [[_cell(value) for value in row] for row in table.head(SHOWN_ROWS).rows()]
            shown_as = wandb.Table(columns=[*table.columns], data=shown, allow_mixed_types=True)
            run.log({name: shown_as})

        self._attempt(log)

    def use_data(self, versions: Mapping[str, Any]) -> None:
        """Record what was read: a version by data set."""

        def use(run: "wandb.Run") -> None:
            for name, version in versions.items():
                as_input(run, data_artifact(name, version), alias=f"version-{version}")

        if versions:
            self._attempt(use)

    def use_release(self, release: str, folder: Path) -> None:
        """Record the release in ``folder`` as one that was read."""
        self._attempt(lambda run: as_input(run, release_artifact(folder, {}), alias=release))

    def log_release(self, release: str, folder: Path, facts: Mapping[str, Any]) -> None:
        """Record the release in ``folder`` as one that was made; the run can be grouped by it."""

        def log(run: "wandb.Run") -> None:
            run.log_artifact(release_artifact(folder, facts), aliases=[release])
            run.config.update({RELEASE: release}, allow_val_change=True)  # type: ignore[no-untyped-call]  # wandb has no types here
            run.tags = (*(run.tags or ()), release)

        self._attempt(log)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Record the final metrics and close the run."""

        def close(run: "wandb.Run") -> None:
            run.summary.update(dict(summary))
            run.finish()

        self._attempt(close, limit_s=FINISH_LIMIT_S)
        self._is_finished = True

    def fail(self) -> None:
        """Close the run as a failed one, if it was started and is open."""
        if self.is_open:
            self._attempt(lambda run: run.finish(exit_code=1), limit_s=FINISH_LIMIT_S)
        self._is_finished = True

    def _attempt(
        self, action: "Callable[[wandb.Run], Any]", *, limit_s: float | None = None
    ) -> None:
        if self._is_finished or self.state == "off" or self.state.startswith("failed"):
            return
        import wandb
        from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

        try:
            run = self._run or within(START_LIMIT_S, self._started)
            within(CALL_LIMIT_S if limit_s is None else limit_s, lambda: action(run))
        except (wandb.Error, OSError, HandleAbandonedError, MailboxClosedError) as error:
            self.state = f"failed: {type(error).__name__}: {error}"
            sys.stderr.write(f"W&B {self.state}; the run goes on and keeps its own metrics.json\n")
            if isinstance(error, TimeoutError):
                _end_service()

    def _started(self) -> "wandb.Run":
        import wandb

        mode = os.environ.get("WANDB_MODE") or "offline"
        try:
            self._run = self._start(mode)
        except wandb.Error:
            if mode != "online":
                raise
            sys.stderr.write("W&B cannot be reached; recording offline\n")
            mode = "offline"
            self._run = self._start(mode)
        self.state = mode
        return self._run

    def _start(self, mode: str) -> "wandb.Run":
        import wandb

        (self.folder / "wandb").mkdir(exist_ok=True)  # W&B would quietly go elsewhere
        settings = wandb.Settings(
            mode=mode,  # type: ignore[arg-type]  # wandb's types are narrower
            silent=True,
            console="off",
            save_code=False,
            init_timeout=START_TIMEOUT_S,
            finish_timeout=FINISH_TIMEOUT_S,
            x_stats_sampling_interval=SAMPLES_EVERY_S,
            x_stats_track_process_tree=True,
        )
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "recbench"),
            id=self.description.id,
            name=self.folder.name,
            group=self.description.group,
            job_type=self.description.job_type,
            dir=self.folder,
            config=self.description.config,
            settings=settings,
        )
        run.define_metric("*", step_metric=STEP)
        return run


def _cell(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _end_service() -> None:
    """A service that hangs would hang this process's exit, too; what it wrote is on disk."""
    for child in psutil.Process().children(recursive=True):
        try:
            if child.name().startswith(SERVICE):
                child.kill()
        except psutil.NoSuchProcess:
            continue
