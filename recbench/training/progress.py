"""What is seen while a model trains: a bar with the time left, or plain lines in a log."""

from collections.abc import Callable
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor
from tqdm import tqdm

from recbench.progress import bar

__all__ = ["EvaluateEvery", "TrainingProgress"]

BALANCE_EVERY = 20  # steps between two looks at the experts


class TrainingProgress(lightning.Callback):
    """One bar over the steps."""

    def __init__(self, label: str) -> None:
        """``label`` stands before the bar."""
        self.label = label
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Open the bar at the step where training starts or goes on."""
        self.bar = bar(
            trainer.max_steps, label=self.label, unit="step", initial=trainer.global_step
        )

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, *_: Any, **__: Any
    ) -> None:
        """One step on; now and then how evenly experts are used, 1 being even."""
        if self.bar is None:
            return
        self.bar.update(1)
        if trainer.global_step % BALANCE_EVERY == 0:
            figures = pl_module.towers.balance_figures().items()
            told = {name.removesuffix("_balance"): f"{value:.2f}" for name, value in figures}
            self.bar.set_postfix(told, refresh=False)

    def on_train_end(self, *_: Any) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()


class EvaluateEvery(lightning.Callback):
    """Measures the averaged towers as training goes, keeps the best, stops when it stays behind."""

    def __init__(
        self,
        evaluate: Callable[[torch.nn.Module], float],
        *,
        steps: int,
        patience: int,
        on_value: Callable[[int, float], None] | None = None,
    ) -> None:
        """``evaluate`` maps the towers to a number that should grow; ``patience`` evaluations."""
        self.evaluate = evaluate
        self.steps = steps
        self.patience = patience
        self.on_value = on_value
        self.curve: list[tuple[int, float]] = []  # (step, value)
        self.best_step = 0
        self.best_state: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "curve": self.curve,
            "best_step": self.best_step,
            "best_state": self.best_state,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint was."""
        self.curve = [(int(step), float(value)) for step, value in state_dict["curve"]]
        self.best_step = state_dict["best_step"]
        self.best_state = state_dict["best_state"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Measure before the first step: an untrained model is a candidate, too."""
        if not self.curve:
            self._measure(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, *_: Any, **__: Any
    ) -> None:
        """Measure when it is time; not again for batches that only add to the next step."""
        step = trainer.global_step
        if step % self.steps == 0 and step > self.curve[-1][0]:
            self._measure(trainer, pl_module)

    def _measure(self, trainer: lightning.Trainer, module: Any) -> None:
        towers = module.averaged() if trainer.global_step else module.towers
        towers.eval()
        value = self.evaluate(towers)
        towers.train()
        step = trainer.global_step
        if not self.curve or value > max(known for _, known in self.curve):
            self.best_step = step
            self.best_state = {name: t.detach().clone() for name, t in towers.state_dict().items()}
        self.curve.append((step, value))
        if self.on_value is not None:
            self.on_value(step, value)
        best_at = next(n for n, (at, _) in enumerate(self.curve) if at == self.best_step)
        if len(self.curve) - 1 - best_at >= self.patience:
            trainer.should_stop = True
