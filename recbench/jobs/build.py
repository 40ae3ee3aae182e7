"""From settings to a trained two-tower: the one place where dials become arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import torch

from recbench import columns as c
from recbench.features.batch import Engine, window_lookup
from recbench.features.definitions import DEFAULT_WINDOW_FEATURES
from recbench.models.baselines import RecencyPopularity
from recbench.models.candidate_features import candidate_features
from recbench.models.content import ItemContent
from recbench.models.frozen import TwoTowerRecommender
from recbench.models.two_tower import TwoTower
from recbench.settings import Experiment
from recbench.tables.log import EventLog
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary
from recbench.training.batches import Batches
from recbench.training.examples import Examples, first_clicks
from recbench.training.fit import Accelerator, fit

__all__ = ["FittedTwoTower", "batches_for", "fit_two_tower", "microseconds"]

FEWEST_STEPS = 20  # between two measures
Measure = Callable[[TwoTowerRecommender], float]


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


def microseconds(instant: datetime) -> int:
    """The instant in microseconds since the epoch."""
    return round(instant.timestamp() * 1e6)


def catalogue(data: EventLog) -> Vocabulary:
    """Every item of the data set, whether or not it was clicked yet."""
    return Vocabulary.of(data.items[c.ITEM_ID])


def batches_for(
    data: EventLog,
    events: pl.DataFrame,
    *,
    at: int,
    horizon_us: int,
    half_life_s: float,
    experiment: Experiment,
    engine: Engine = "cpu",
) -> Batches:
    """Training batches from ``events``, all before ``at``.

    Args:
        data: where the events come from; its protocol decides what an example is.
        events: the part to learn from.
        at: microseconds; the end of the part.
        horizon_us: how long after a pseudo-cut a click is a target, as long as the test lasts.
        half_life_s: of the recency prior.
        experiment: all dials.
        engine: which computes window features.
    """
    features, training = experiment.features, experiment.training
    log = InteractionLog.from_events(events, items=catalogue(data))
    if not data.repeats:
        log = first_clicks(log)
    start = int(log.ts.min())
    first = start + training.first_cut_frac * (at - start)
    last = max(first, at - 0.1 * horizon_us)  # later cuts would leave too little to predict
    cuts = np.unique(np.linspace(first, last, training.n_cuts).astype(np.int64))
    if data.protocol == "next_in_session":
        examples = Examples.of_next_events(log, cuts=cuts)
    else:
        examples = Examples.at_pseudo_cuts(log, cuts=cuts, horizon_us=horizon_us)
    snapshots = candidate_features(
        log, cuts, half_lives_s=features.popularity_half_lives_s, prior_half_life_s=half_life_s
    )
    asked = examples.queries(np.arange(len(examples)))
    window = window_lookup(events, DEFAULT_WINDOW_FEATURES, engine=engine)
    return Batches(
        examples,
        snapshots,
        window(asked.user_ids, asked.ts),
        examples.target_shares(),
        batch_size=training.batch_size,
        n_uniform=training.n_uniform,
        history_length=features.history_length,
        id_dropout=training.id_dropout,
        repeats=data.repeats,
        seed=experiment.seed,
    )


def new_towers(data: EventLog, experiment: Experiment) -> TwoTower:
    """Untrained towers for the data's catalogue; a seed gives one set of weights."""
    items = catalogue(data)
    torch.manual_seed(experiment.seed)
    return TwoTower(
        len(items),
        ItemContent.from_items(data.items, items),
        n_features=len(experiment.features.popularity_half_lives_s) + 2,
        n_window_features=len(DEFAULT_WINDOW_FEATURES),
        embedding_dim=experiment.towers.embedding_dim,
        hidden_dim=experiment.towers.hidden_dim,
    )


def fit_two_tower(
    data: EventLog,
    events: pl.DataFrame,
    *,
    at: int,
    horizon_us: int,
    half_life_s: float,
    experiment: Experiment,
    steps: int | None = None,
    measure: Measure | None = None,
    accelerator: Accelerator = "cpu",
    engine: Engine = "cpu",
    checkpoint: Path | None = None,
    on_value: Callable[[int, float], None] | None = None,
    label: str = "train",
) -> FittedTwoTower:
    """Train on ``events`` and freeze as of ``at``.

    Args:
        data: where the events come from.
        events: the part to learn from.
        at: microseconds since the epoch.
        horizon_us: as in ``batches_for``.
        half_life_s: of the recency prior.
        experiment: all dials.
        steps: exactly so many; default: up to ``max_steps``, where ``measure`` is best.
        measure: of the frozen model, to be large.
        accelerator: ``"cpu"`` or ``"gpu"``.
        engine: which computes window features.
        checkpoint: written as training goes, continued from where it is there.
        on_value: told of each (step, measure).
        label: of the progress bar.
    """
    items, training = catalogue(data), experiment.training
    batches = batches_for(
        data,
        events,
        at=at,
        horizon_us=horizon_us,
        half_life_s=half_life_s,
        experiment=experiment,
        engine=engine,
    )
    log = InteractionLog.from_events(events, items=items)
    snapshot = candidate_features(
        log,
        np.array([at]),
        half_lives_s=experiment.features.popularity_half_lives_s,
        prior_half_life_s=half_life_s,
    )
    window = window_lookup(events, DEFAULT_WINDOW_FEATURES, engine=engine)

    def frozen(towers: TwoTower) -> TwoTowerRecommender:
        return TwoTowerRecommender.freeze(
            towers,
            items,
            snapshot,
            history_length=experiment.features.history_length,
            window_features=window,
        )

    every = max(FEWEST_STEPS, batches.steps_per_epoch // training.evaluations_per_epoch)
    fitted = fit(
        new_towers(data, experiment),
        batches,
        max_steps=training.max_steps if steps is None else steps,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        average_decay=training.average_decay,
        accelerator=accelerator,
        evaluate=None if measure is None else lambda towers: measure(frozen(towers)),
        evaluate_every=every,
        patience=max(1, round(training.patience_epochs * batches.steps_per_epoch / every)),
        on_value=on_value,
        checkpoint=checkpoint,
        label=label,
    )
    prior = RecencyPopularity.fit(log, at=at, half_life_s=half_life_s)
    return FittedTwoTower(
        frozen(fitted.towers), fitted.towers, prior, log, at, fitted.steps, fitted.curve
    )
