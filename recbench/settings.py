"""Every dial in one place: small frozen dataclasses, each field with unit and meaning."""

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from recbench.errors import InputError

__all__ = [
    "Encoder",
    "Experiment",
    "RankingSettings",
    "RefreshSettings",
    "notebooks_path",
    "registry_path",
    "runs_path",
    "workspace_path",
]

Loss = Literal["softmax", "bpr", "bce"]
Negatives = Literal["sampled", "all"]
Precision = Literal["float32", "bfloat16"]
TableUpdates = Literal["dense", "rows"]
Smaller = Literal["fp16", "int8"]
Encoder = Literal["pooled", "mean", "gru", "transformer", "hstu", "deepseek"]

SHARES = ("id_dropout", "average_decay")  # from 0 to below 1
HOUR_S, DAY_S = 3_600.0, 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSettings:
    """What the towers see."""

    history_length: int = 50  # L, events of a history
    popularity_half_lives_s: tuple[float, ...] = tuple(d * DAY_S for d in (0.25, 1, 4, 16, 64))
    prior_half_lives_s: tuple[float, ...] = tuple(
        d * DAY_S for d in (0.25, 0.5, 1, 2, 4, 7, 14, 30, 60)
    )  # tried on the validation; the best becomes the recency prior


@dataclass(frozen=True, kw_only=True, slots=True)
class TowerSettings:
    """Sizes of both towers."""

    encoder: Encoder = "pooled"  # of histories: a weighted mean, or a causal sequence encoder
    n_layers: int = 2  # of a sequence encoder
    text_model: str = ""  # folder, or name on the hub, of a text encoder; empty: none
    embedding_dim: int = 64  # D of the taste part
    hidden_dim: int = 64  # of each small perceptron

    def __post_init__(self) -> None:
        """The encoder is one of those that there are."""
        _check_word("encoder", self.encoder, get_args(Encoder))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """How the towers are trained."""

    max_steps: int = 1_000  # the validation chooses a number up to this
    evaluations_per_epoch: int = 15  # measures on the validation, but at most one in 20 steps
    patience_epochs: float = 3.0  # without a new best measure before training stops
    batch_size: int = 256  # B, queries
    n_uniform: int = 1_024  # uniform negatives beside the B in-batch ones
    n_cuts: int = 60  # pseudo-cuts: instants at which the log plays train and test
    first_cut_frac: float = 0.2  # of the log's time span; the cuts lie between here and its end
    table_updates: TableUpdates = "dense"  # "rows": a step looks at the batch's rows only
    negatives: Negatives = "sampled"  # "all": every item of the catalogue is a candidate
    cached_negatives: int = 0  # candidates of earlier batches that are negatives, too
    loss: Loss = "softmax"  # or pairwise "bpr", or "bce", the log loss of clicks
    watch_weight: float = 0.0  # of the second task: the watched share of what was clicked
    inner_weight: float = 0.0  # of next events within histories; needs a sequence encoder
    id_dropout: float = 0.3  # chance that an item's id is hidden and its content speaks
    learning_rate: float = 1e-3  # of AdamW
    weight_decay: float = 1e-4  # of AdamW
    average_decay: float = 0.98  # per step, of the moving average of weights
    precision: Precision = "float32"  # "bfloat16": mixed
    accumulate: int = 1  # batches a step
    compiled: bool = False  # whether torch compiles the loss

    def __post_init__(self) -> None:
        """Words are among those that there are."""
        _check_word("table_updates", self.table_updates, get_args(TableUpdates))
        _check_word("negatives", self.negatives, get_args(Negatives))
        _check_word("loss", self.loss, get_args(Loss))
        _check_word("precision", self.precision, get_args(Precision))


@dataclass(frozen=True, kw_only=True, slots=True)
class RankingSettings:
    """The ranker after retrieval, and the past that it learns from."""

    n_cuts: int = 30  # earlier instants of the log that play the test
    spacing_frac: float = 0.125  # of the horizon, between two of them; sessions: never below 1
    least_horizon_frac: float = 0.125  # that targets of the latest instant span; 1: all span all
    most_lists: int = 500  # of one cut; items need many instants more than many users
    n_each: int = 40  # candidates that each retriever brings
    half_lives_s: tuple[float, ...] = tuple(d * DAY_S for d in (0.25, 0.5, 1, 2, 4, 8, 16, 64))
    hidden_dim: int = 64  # of both layers
    epochs: int = 4  # over all lists
    learning_rate: float = 1e-3  # the largest of a cycle, of AdamW

    def __post_init__(self) -> None:
        """All of them are positive."""
        for dial in fields(self):
            _check(dial.name, getattr(self, dial.name))


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSettings:
    """What a release is made of besides towers in float32, and how good it must be."""

    precisions: tuple[str, ...] = ("fp16", "int8")  # smaller query towers; fp32 is always there
    least_overlap: float = 0.97  # overlap@20 with torch; a precision below it is left out
    least_recall: float = 0.99  # recall@20 of the index against an exact search

    def __post_init__(self) -> None:
        """Precisions are among those that there are, shares from 0 to 1."""
        for precision in self.precisions:
            _check_word("precisions", precision, get_args(Smaller))
        for name in ("least_overlap", "least_recall"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"`{name}` must lie in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """All dials of one study, saved with every run."""

    features: FeatureSettings = field(default_factory=FeatureSettings)
    towers: TowerSettings = field(default_factory=TowerSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    export: ExportSettings = field(default_factory=ExportSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        """Sizes, counts and rates must be positive, shares below 1."""
        for part in (self.features, self.towers, self.training):
            for dial in fields(part):
                if not isinstance(getattr(part, dial.name), str | bool):
                    _check(dial.name, getattr(part, dial.name))

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Self:
        """What ``dataclasses.asdict`` gave, through JSON; other keys are not looked at."""
        parts: dict[str, dict[str, Any]] = {
            part: {n: tuple(v) if isinstance(v, list) else v for n, v in held[part].items()}
            for part in ("features", "towers", "training", "export")
            if part in held  # releases were once made without an export's dials
        }
        return cls(
            features=FeatureSettings(**parts["features"]),
            towers=TowerSettings(**parts["towers"]),
            training=TrainingSettings(**parts["training"]),
            export=ExportSettings(**parts.get("export", {})),
            seed=held["seed"],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshSettings:
    """How much a refresh learns, and when it is not worth it."""

    steps: int = 20  # of the update, at most
    seconds: float = 20.0  # of the update, at most
    rate: float = 1e-3  # learning rate of item and token rows
    dense_rate: float = 3e-3  # of perceptrons and encoder
    router_rate: float = 3e-4  # of experts' routers
    parent_weight: float = 0.5  # of agreeing with the parent
    n_replay: int = 1_024  # exemplars of earlier windows
    objective: str = "likelihood"  # or "reinforce": policy gradient on the query tower
    slate: int = 10  # length of the lists that "reinforce" learns for
    weight_cap: float = 10.0  # of its importance weights
    idle_days: float = 180.0  # an item is not recommended after so many days without a click
    keep: int = 20  # releases that can be rolled back to
    least_gain: float = -1.0  # relative NDCG; below this at best, a refresh is skipped
    most_cpu_s: float | None = None  # a refresh that is expected to take more is skipped

    def __post_init__(self) -> None:
        """Counts and rates cannot be negative."""
        for dial in fields(self):
            value = getattr(self, dial.name)
            if dial.name == "objective":
                _check_word(dial.name, value, ("likelihood", "reinforce"))
            elif dial.name != "least_gain" and value is not None and value < 0:
                raise InputError(f"`{dial.name}` must not be negative, got {value}")
        if not self.idle_days:
            raise InputError("`idle_days` must be positive: by 0 no item would be recommended")


def _check_word(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"`{name}` must be one of {list(allowed)}, got {value!r}")


def _check(name: str, value: float | tuple[float, ...]) -> None:
    smallest = min(value) if isinstance(value, tuple) else value
    may_be_zero = name in {
        *SHARES,
        "inner_weight",
        "watch_weight",
        "cached_negatives",
        "weight_decay",
        "max_steps",
    }
    if smallest < 0 or (smallest == 0 and not may_be_zero):
        raise InputError(f"`{name}` must be positive, got {value}")
    if name in {*SHARES, "first_cut_frac"} and smallest >= 1:
        raise InputError(f"`{name}` must be below 1, got {value}")


def workspace_path() -> Path:
    """Where the lake and the registry live: ``RECBENCH_WORKSPACE``, else ``./workspace``."""
    return Path(os.environ.get("RECBENCH_WORKSPACE", "workspace"))


def runs_path() -> Path:
    """Where runs leave their folders: ``RECBENCH_RUNS``, else ``./papermill_runs``."""
    return Path(os.environ.get("RECBENCH_RUNS", "papermill_runs"))


def notebooks_path() -> Path:
    """Where notebooks are looked up by name.

    ``RECBENCH_NOTEBOOKS``, else ``./notebooks`` when it holds notebooks, else the ones beside the
    package.
    """
    if chosen := os.environ.get("RECBENCH_NOTEBOOKS"):
        return Path(chosen)
    here = Path("notebooks")
    if any(here.glob("*.ipynb")):
        return here
    return Path(__file__).parents[1] / "notebooks"


def registry_path() -> Path:
    """Where releases live: ``registry/`` in the workspace."""
    return workspace_path() / "registry"
