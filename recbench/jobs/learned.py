"""A full fit as the state that refreshes start from, and a state as something that answers."""

import numpy as np

from recbench.features.running_popularity import RunningPopularity
from recbench.jobs.build import FittedTwoTower
from recbench.models.candidate_features import CandidateSnapshots
from recbench.models.content import ItemContent
from recbench.models.frozen import TwoTowerRecommender, WindowLookup
from recbench.refresh.advance import past_exemplars
from recbench.refresh.state import LearnedState
from recbench.settings import Experiment
from recbench.tables.log import EventLog

__all__ = ["answering", "learned_state"]

WINDOW_FRAC = 0.01  # of the log: what a refresh sees


def learned_state(
    fitted: FittedTwoTower, data: EventLog, *, experiment: Experiment, n_kept: int = 4
) -> LearnedState:
    """All that a refresh needs of a full fit; exemplars come from the log's last windows.

    Args:
        fitted: on events before ``fitted.at``.
        data: what it was fitted on.
        experiment: its dials.
        n_kept: how many windows of a hundredth of the log may be asked for exemplars.
    """
    log, at = fitted.log, fitted.at
    ts = np.sort(log.ts[log.ts < at])
    places = len(ts) - (1 + np.arange(n_kept)) * max(1, int(WINDOW_FRAC * len(ts)))
    cuts = np.unique(ts[np.maximum(places, 0)]).tolist()
    half_lives_s = (*experiment.features.popularity_half_lives_s, fitted.prior.half_life_s)
    kept = [RunningPopularity.of(log, at=cut, half_lives_s=half_lives_s) for cut in [*cuts, at]]
    return LearnedState(
        towers=fitted.towers,
        moments=fitted.moments,
        items=log.items,
        content=ItemContent.from_items(data.items, log.items, text=_text(fitted)),
        popularity=kept[-1],
        pool=past_exemplars(log, cuts, end=at),
        kept=tuple(kept[:-1]),
    )


def answering(
    state: LearnedState, window_features: WindowLookup, *, history_length: int
) -> TwoTowerRecommender:
    """The state's towers with every candidate as of the state's instant."""
    snapshot = CandidateSnapshots([state.popularity]).at(state.at, np.arange(len(state.items)))
    return TwoTowerRecommender.freeze(
        state.towers,
        state.items,
        snapshot,
        history_length=history_length,
        window_features=window_features,
    )


def _text(fitted: FittedTwoTower) -> np.ndarray | None:
    held = fitted.towers.items.text
    return None if held is None else held.numpy()
