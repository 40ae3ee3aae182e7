"""What is asked of a release: the events of one user, real or composed, and the instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.batch import window_lookup
from recbench.features.history import PaddedHistories, padded_histories
from recbench.serving.recommender import ReleasedRecommender
from recbench.tables.queries import InteractionLog, Queries

__all__ = ["Asked"]

COMPOSED_USER = 0  # nobody else's events lie beside a composed history
STEP = timedelta(minutes=1)  # between two clicks of a composed history


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One request to ``model``: it sees the events strictly before ``at_us``."""

    model: ReleasedRecommender
    user_id: int
    events: pl.DataFrame  # of this user only, as the release keeps them, in order of time
    at_us: int  # microseconds since the epoch

    @classmethod
    def by_user(cls, model: ReleasedRecommender, user_id: int) -> Self:
        """As ``model.recommend`` asks: just after the watermark. An unknown user has no events."""
        events = model.contents.interactions.filter(pl.col(c.USER_ID) == user_id)
        asked_at = model.contents.watermark_us + 1
        return cls(model, user_id, events.sort(c.TS, maintain_order=True), asked_at)

    @classmethod
    def after(cls, model: ReleasedRecommender, item_ids: Sequence[int]) -> Self:
        """By somebody who clicked these items, a minute apart, the last one at the watermark.

        Raises:
            InputError: an item is not in the catalogue.
        """
        asked = cls.by_user(model, COMPOSED_USER)
        last = pl.Series([asked.at_us - 1]).cast(c.INSTANT)[0]
        times = [last - STEP * n for n in reversed(range(len(item_ids)))]
        events = asked.events.clear()
        for item_id, ts in zip(item_ids, times, strict=True):
            events = _with_event(model, events, user_id=COMPOSED_USER, item_id=item_id, ts=ts)
        return cls(model, COMPOSED_USER, events, asked.at_us)

    def with_click(self, item_id: int) -> "Asked":
        """The same request a microsecond later, the user having clicked ``item_id`` just before.

        Raises:
            InputError: the item is not in the catalogue.
        """
        ts = pl.Series([self.at_us]).cast(c.INSTANT)[0]
        events = _with_event(self.model, self.events, user_id=self.user_id, item_id=item_id, ts=ts)
        return Asked(self.model, self.user_id, events, self.at_us + 1)

    @property
    def queries(self) -> Queries:
        """The request as every model takes it; one query."""
        log = InteractionLog.from_events(self.events, items=self.model.items)
        return log.queries(np.array([self.user_id]), self.at_us)

    @property
    def history(self) -> PaddedHistories:
        """The latest clicks, as the query tower reads them; (1, L)."""
        return padded_histories(self.queries, length=self.model.contents.history_length)

    def query_embedding(self) -> npt.NDArray[np.float32]:
        """(D,)."""
        lookup = window_lookup(self.events, self.model.contents.window_features)
        window = lookup(np.array([self.user_id]), np.array([self.at_us]))
        held = self.history
        (embedded,) = self.model.tower(held.item_rows, held.age_s, held.watch_ratio, window)
        return np.asarray(embedded)


def _with_event(
    model: ReleasedRecommender, events: pl.DataFrame, *, user_id: int, item_id: int, ts: object
) -> pl.DataFrame:
    """One click more; its category is the item's, and nobody knows how long it was watched."""
    (row,) = model.items.rows([item_id])
    if row < 0:
        raise InputError(f"Item {item_id} is not among the release's {len(model.items)} items")
    facts = {c.USER_ID: user_id, c.ITEM_ID: item_id, c.TS: ts, c.CLICKED: True}
    described = model.contents.item_features
    if c.CATEGORY in events.columns and c.CATEGORY in described.columns:
        facts[c.CATEGORY] = described[c.CATEGORY][int(row)]
    schema = {name: events.schema[name] for name in facts}
    return pl.concat([events, pl.DataFrame([facts], schema=schema)], how="diagonal")
