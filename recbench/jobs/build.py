"""From settings to a trained two-tower: the one place where dials become arguments."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import nn

from recbench.cluster.ranks import ranks_on
from recbench.errors import InputError
from recbench.features.batch import Engine, window_lookup
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.models.baselines import RecencyPopularity
from recbench.models.candidate_features import CandidateHistory
from recbench.models.content import ItemContent
from recbench.models.encoders.choose import new_encoder
from recbench.models.frozen import TwoTowerRecommender
from recbench.models.query_towers import PooledQueryTower, SequenceQueryTower
from recbench.models.two_tower import CandidateTower, ItemEncoder, TwoTower
from recbench.settings import Experiment, TrainingSettings, workspace_path
from recbench.tables.log import EventLog, catalogue
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary
from recbench.training.batches import Batches
from recbench.training.examples import Examples, first_clicks
from recbench.training.moments import Moments
from recbench.training.objective import Objective
from recbench.training.target_shares import TargetShares

if TYPE_CHECKING:
    from distributed import Client

    from recbench.training.fit import Accelerator

__all__ = ["Cut", "FittedTwoTower", "batches_for", "fit_two_tower", "towers_for"]

FEWEST_STEPS = 20  # between two measures
LEFT_TO_PREDICT = 0.1  # of the horizon, after the last pseudo-cut
Measure = Callable[[TwoTowerRecommender], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where a fit stands in time, and what it is to predict from there."""

    at: int  # microseconds since the epoch: features and histories are as of here
    horizon_us: int  # how long after a pseudo-cut a click is a target: as long as the test lasts
    half_life_s: float  # of the recency prior


@dataclass(frozen=True, slots=True, eq=False)
class FittedTwoTower:
    """A trained two-tower as of an instant, and how it came about."""

    model: TwoTowerRecommender
    towers: TwoTower
    prior: RecencyPopularity  # the baseline that it starts from
    log: InteractionLog  # the clicks it has seen
    at: int  # microseconds since the epoch: features and histories are as of here
    steps: int
    curve: list[tuple[int, float]]  # (step, measure)
    balance: dict[str, float] = field(default_factory=dict)  # of experts, in the last step
    moments: Moments = field(default_factory=dict)  # of the optimisers, after the last step

    @property
    def best_measure(self) -> float | None:
        """The highest on the curve; None where nothing was measured."""
        return max((measure for _, measure in self.curve), default=None)


def batches_for(
    data: EventLog,
    events: pl.DataFrame,
    cut: Cut,
    *,
    experiment: Experiment,
    engine: Engine = "cpu",
) -> Batches:
    """Training batches from ``events``, all before the cut.

    Args:
        data: where the events come from; its protocol decides what an example is.
        events: the part to learn from.
        cut: the end of the part.
        experiment: all dials.
        engine: which computes window features.
    """
    features, training = experiment.features, experiment.training
    log = InteractionLog.from_events(events, items=catalogue(data))
    if not data.repeats:
        log = first_clicks(log)
    cuts = pseudo_cuts(log, cut, training)
    towers = experiment.towers
    inner = training.inner_weight > 0
    if inner and towers.encoder == "pooled":
        raise InputError("`inner_weight` needs a sequence encoder: `encoder` is 'pooled'")
    if data.protocol != "next_in_session":
        examples = Examples.at_pseudo_cuts(log, cuts=cuts, horizon_us=cut.horizon_us)
    elif towers.encoder == "pooled":
        examples = Examples.of_next_events(log, cuts=cuts)
    else:
        examples = Examples.of_sequences(log, cuts=cuts, length=features.history_length)
    window = window_lookup(events, DEFAULT_WINDOW_FEATURES, engine=engine)
    nothing = np.zeros((0, len(DEFAULT_WINDOW_FEATURES)), dtype=np.float32)
    asked = examples.queries(np.arange(len(examples)))
    every = examples.every_position
    return Batches(
        examples,
        CandidateHistory(
            log,
            half_lives_s=features.popularity_half_lives_s,
            prior_half_life_s=cut.half_life_s,
        ),
        nothing if every else window(asked.user_ids, asked.ts),
        window(log.users.ids[log.user_rows], log.ts) if every or inner else nothing,
        TargetShares.of(examples),
        batch_size=training.batch_size,
        n_uniform=training.n_uniform,
        history_length=features.history_length,
        id_dropout=training.id_dropout,
        repeats=data.repeats,
        inner=inner and not every,
        all_items=training.negatives == "all",
        seed=experiment.seed,
    )


def pseudo_cuts(log: InteractionLog, cut: Cut, training: TrainingSettings) -> npt.NDArray[np.int64]:
    """Even instants of the past that play the cut; the last ones leave a tenth of the horizon."""
    start = int(log.ts.min())
    first = start + training.first_cut_frac * (cut.at - start)
    last = max(first, cut.at - LEFT_TO_PREDICT * cut.horizon_us)
    return np.unique(np.linspace(first, last, training.n_cuts).astype(np.int64))


def new_towers(data: EventLog, experiment: Experiment) -> TwoTower:
    """Untrained towers for the data's catalogue; a seed gives one set of weights."""
    catalogued = catalogue(data)
    text = _text(data, catalogued, experiment.towers.text_model)
    return towers_for(ItemContent.from_items(data.items, catalogued, text=text), experiment)


def towers_for(content: ItemContent, experiment: Experiment) -> TwoTower:
    """Untrained towers for the items of ``content``; a seed gives one set of weights."""
    dials = experiment.towers
    sizes = {"embedding_dim": dials.embedding_dim, "hidden_dim": dials.hidden_dim}
    n_features = len(experiment.features.popularity_half_lives_s) + 2
    n_window = len(DEFAULT_WINDOW_FEATURES)
    torch.manual_seed(experiment.seed)
    items = ItemEncoder(
        len(content.category.token_rows),
        content,
        embedding_dim=dials.embedding_dim,
        sparse=experiment.training.table_updates == "rows",
    )
    candidates = CandidateTower(n_features=n_features, **sizes)
    if dials.encoder == "pooled":
        queries: nn.Module = PooledQueryTower(n_window_features=n_window, **sizes)
    else:
        encoder = new_encoder(dials.encoder, dials.embedding_dim, n_layers=dials.n_layers)
        queries = SequenceQueryTower(encoder, n_window_features=n_window, **sizes)
    watching = experiment.training.watch_weight > 0
    return TwoTower(items, candidates, queries, predicts_watching=watching)


def _text(data: EventLog, items: Vocabulary, text_model: str) -> npt.NDArray[np.float32] | None:
    """What a pretrained encoder says of each item; the workspace keeps it."""
    if not text_model:
        return None
    from recbench.models.text import TextEncoder, text_embeddings

    encoder = TextEncoder.load(text_model)
    folder = workspace_path() / "text"
    return text_embeddings(data.items, items, encoder=encoder, folder=folder)


def freezer(
    log: InteractionLog,
    events: pl.DataFrame,
    cut: Cut,
    *,
    experiment: Experiment,
    engine: Engine = "cpu",
) -> Callable[[TwoTower], TwoTowerRecommender]:
    """What turns towers into a recommender as of the cut."""
    history = CandidateHistory(
        log,
        half_lives_s=experiment.features.popularity_half_lives_s,
        prior_half_life_s=cut.half_life_s,
    )
    # to the bit what the baseline shows: who has no history gets its list
    popularity = RecencyPopularity.fit(log, at=cut.at, half_life_s=cut.half_life_s).popularity
    snapshot = history.at(cut.at, np.arange(len(log.items)))._replace(popularity=popularity)
    window = window_lookup(events, DEFAULT_WINDOW_FEATURES, engine=engine)
    return lambda towers: TwoTowerRecommender.freeze(
        towers,
        log.items,
        snapshot,
        history_length=experiment.features.history_length,
        window_features=window,
    )


def fit_two_tower(
    data: EventLog,
    events: pl.DataFrame,
    cut: Cut,
    *,
    experiment: Experiment,
    steps: int | None = None,
    measure: Measure | None = None,
    accelerator: "Accelerator" = "cpu",
    engine: Engine = "cpu",
    checkpoint: Path | None = None,
    on_value: Callable[[int, float], None] | None = None,
    client: "Client | None" = None,
    label: str = "train",
) -> FittedTwoTower:
    """Train on ``events`` and freeze as of the cut.

    Args:
        data: where the events come from.
        events: the part to learn from.
        cut: the end of the part.
        experiment: all dials.
        steps: exactly so many; default: up to ``max_steps``, where ``measure`` is best.
        measure: of the frozen model, to be large.
        accelerator: ``"cpu"`` or ``"gpu"``.
        engine: which computes window features.
        checkpoint: written as training goes, continued from where it is there; with a client a
            folder of that name and ``.ranks``.
        on_value: told of each (step, measure).
        client: of a Dask cluster whose workers train together; default: this process.
        label: of the progress bar.
    """
    from recbench.training.fit import fit  # Lightning: twice as long to import as all the rest

    training = experiment.training
    batches = batches_for(data, events, cut, experiment=experiment, engine=engine)
    log = InteractionLog.from_events(events, items=catalogue(data))
    frozen = freezer(log, events, cut, experiment=experiment, engine=engine)
    every = max(FEWEST_STEPS, batches.steps_per_epoch // training.evaluations_per_epoch)
    fitted = fit(
        new_towers(data, experiment),
        batches,
        max_steps=training.max_steps if steps is None else steps,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        average_decay=training.average_decay,
        objective=Objective(
            loss=training.loss,
            inner_weight=training.inner_weight,
            watch_weight=training.watch_weight,
        ),
        cached_negatives=training.cached_negatives,
        precision=training.precision,
        accumulate=training.accumulate,
        compiled=training.compiled,
        accelerator=accelerator,
        evaluate=None if measure is None else lambda towers: measure(frozen(towers)),
        evaluate_every=every,
        patience=max(1, round(training.patience_epochs * batches.steps_per_epoch / every)),
        on_value=on_value,
        checkpoint=checkpoint if client is None else _folder_of(checkpoint),
        cluster=None if client is None else ranks_on(client),
        label=label,
    )
    prior = RecencyPopularity.fit(log, at=cut.at, half_life_s=cut.half_life_s)
    model = frozen(fitted.towers)
    return FittedTwoTower(
        model,
        fitted.towers,
        prior,
        log,
        cut.at,
        fitted.steps,
        fitted.curve,
        fitted.balance,
        fitted.moments,
    )


def _folder_of(checkpoint: Path | None) -> Path | None:
    """Ranks write theirs together, in a folder beside the file of one process."""
    return None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.ranks")
