"""A full fit as the state that refreshes start from."""

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.features.running_popularity import RunningPopularity
from recbench.jobs.build import FittedTwoTower
from recbench.models.content import ItemContent
from recbench.refresh.advance import last_clicks, past_exemplars
from recbench.refresh.facts import WindowFacts, window_facts
from recbench.refresh.state import LearnedState
from recbench.settings import Experiment
from recbench.tables.log import EventLog
from recbench.tables.vocabulary import Vocabulary

__all__ = ["learned_state", "recent_facts"]

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
    last_ts = last_clicks(log, np.full(len(log.items), -1), until=at)
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
        last_ts=np.where(last_ts < 0, at, last_ts),
    )


def recent_facts(events: pl.DataFrame, *, end: int, n_windows: int = 10) -> list[WindowFacts]:
    """What the log's last windows looked like, the oldest first.

    Args:
        events: canonical, in order of time, all before ``end``.
        end: microseconds since the epoch.
        n_windows: of a hundredth of the log each.
    """
    n = max(1, int(WINDOW_FRAC * len(events)))
    facts = []
    for number in range(min(n_windows, len(events) // n - 1), 0, -1):
        before = events[: len(events) - number * n]
        window = events[len(before) : len(before) + n]
        after = events[len(before) + n :]
        start = int(before[c.TS].dt.epoch("us")[-1]) + 1
        stop = int(after[c.TS].dt.epoch("us")[0]) if len(after) else end
        known = Vocabulary.of(before[c.ITEM_ID])
        facts.append(window_facts(window, start=start, end=stop, items=known))
    return facts


def _text(fitted: FittedTwoTower) -> np.ndarray | None:
    held = fitted.towers.items.text
    return None if held is None else held.numpy()
