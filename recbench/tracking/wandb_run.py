"""A W&B run that never stands in the way of the run it describes."""

import netrc
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import wandb

__all__ = ["WandbRun"]

START_TIMEOUT_S = 30
FINISH_TIMEOUT_S = 120


class WandbRun:
    """Started at the first call; after its first failure it stays silent.

    ``state`` says how it goes: ``off``, ``not started``, ``offline``, ``online``, ``failed: …``.
    Offline runs lie in ``<folder>/wandb`` and can be synced later.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """``config`` is what W&B shows as the run's configuration."""
        self.folder = folder
        self.config = dict(config)
        self.state = "off" if os.environ.get("RECBENCH_TRACKING") == "off" else "not started"
        self._run: wandb.Run | None = None

    def log(self, metrics: Mapping[str, Any], *, step: int | None) -> None:
        """One point of each metric."""
        self._attempt(lambda run: run.log(dict(metrics), step=step))

    def log_image(self, name: str, path: Path) -> None:
        """A picture, by name."""

        def log(run: "wandb.Run") -> None:
            import wandb

            run.log({name: wandb.Image(str(path))})

        self._attempt(log)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Record the final metrics and close the run."""

        def close(run: "wandb.Run") -> None:
            run.summary.update(dict(summary))
            run.finish()

        self._attempt(close)

    def _attempt(self, action: "Callable[[wandb.Run], None]") -> None:
        if self.state == "off" or self.state.startswith("failed"):
            return
        import wandb
        from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

        try:
            action(self._started())
        except (wandb.Error, OSError, HandleAbandonedError, MailboxClosedError) as error:
            self.state = f"failed: {type(error).__name__}: {error}"
            sys.stderr.write(f"W&B {self.state}; the run goes on and keeps its own metrics.json\n")

    def _started(self) -> "wandb.Run":
        if self._run is None:
            import wandb

            mode = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
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
            mode=mode,  # type: ignore[arg-type]
            silent=True,
            console="off",
            save_code=False,
            init_timeout=START_TIMEOUT_S,
            finish_timeout=FINISH_TIMEOUT_S,
        )
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT", "recbench"),
            name=self.folder.name,
            dir=self.folder,
            config=self.config,
            settings=settings,
        )


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        hosts = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return "api.wandb.ai" in hosts
