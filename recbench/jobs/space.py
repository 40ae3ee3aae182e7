"""What a search may change: dials of the settings, and of the baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from recbench.errors import InputError
from recbench.settings import Experiment

__all__ = ["BASELINE_SPACES", "Choice", "Range", "default_space", "experiment_with", "suggest"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values."""

    values: tuple[str | int | float, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A number between two others, on a log scale if asked for; whole where both are."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        """The bounds are in order, and positive on a log scale."""
        if self.low >= self.high or (self.log and self.low <= 0):
            raise InputError(f"No range lies between {self.low} and {self.high}, log={self.log}")


Space = Mapping[str, Choice | Range]

BASELINE_SPACES: dict[str, Space] = {
    "ItemKNN": {
        "k": Range(10, 500, log=True),
        "shrink": Range(1.0, 500.0, log=True),
        "prior_weight": Range(0.1, 10.0, log=True),
    },
    "EASE": {
        "regularisation": Range(10.0, 3_000.0, log=True),
        "prior_weight": Range(0.1, 10.0, log=True),
    },
    "ALS": {
        "factors": Choice((8, 16, 32, 64)),
        "regularisation": Range(0.01, 30.0, log=True),
        "alpha": Range(0.5, 40.0, log=True),
        "prior_weight": Range(0.1, 10.0, log=True),
    },
}


def default_space(encoders: Sequence[str]) -> Space:
    """What a search of the two-tower varies: its encoder, sizes, and how it learns."""
    return {
        "encoder": Choice(tuple(encoders)),
        "embedding_dim": Choice((32, 64, 128)),
        "learning_rate": Range(3e-4, 1e-2, log=True),
        "weight_decay": Range(1e-6, 1e-1, log=True),
        "id_dropout": Range(0.0, 0.6),
        "n_uniform": Choice((256, 1_024, 2_048)),
    }


def suggest(trial: Any, space: Space) -> dict[str, Any]:
    """One value for each dial, drawn by an Optuna trial."""
    drawn: dict[str, Any] = {}
    for name, values in space.items():
        if isinstance(values, Choice):
            drawn[name] = trial.suggest_categorical(name, values.values)
        elif isinstance(values.low, int) and isinstance(values.high, int):
            drawn[name] = trial.suggest_int(name, values.low, values.high, log=values.log)
        else:
            drawn[name] = trial.suggest_float(name, values.low, values.high, log=values.log)
    return drawn


def experiment_with(base: Experiment, drawn: Mapping[str, Any]) -> Experiment:
    """``base`` with some dials turned.

    Raises:
        InputError: no part of the settings has a dial of that name, or the value is not allowed.
    """
    parts: dict[str, dict[str, Any]] = {"features": {}, "towers": {}, "training": {}}
    for name, value in drawn.items():
        owner = next((p for p in parts if name in _names(getattr(base, p))), None)
        if owner is None:
            known = sorted(n for p in parts for n in _names(getattr(base, p)))
            raise InputError(f"No dial is called {name!r}; there are {known}")
        parts[owner][name] = value
    changed = {part: replace(getattr(base, part), **dials) for part, dials in parts.items()}
    return replace(base, **changed)


def _names(settings: Any) -> set[str]:
    return {field.name for field in fields(settings)}
