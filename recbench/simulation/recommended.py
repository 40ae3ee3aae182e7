"""What recbench recommends, served in the world: a baseline, a network, a release."""

from collections.abc import Callable

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.datasets.simulator import instants
from recbench.datasets.world.protocol import Asked, Clicks, Feedback, NewItems, Slates
from recbench.datasets.world.sampling import scored_slates, uniform_slates
from recbench.datasets.world.settings import PUBLISHED
from recbench.datasets.world.together import all_clicks
from recbench.errors import InputError
from recbench.evaluation.recommender import Recommender
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

__all__ = ["RecommendedPolicy"]

CLOCK = 1e-9  # hours: rounding


class RecommendedPolicy:
    """Slates drawn by the ranks that a recommender gives; the history that it sees is live.

    An item at rank r has the weight ``r ** -sharpness``, so that models whose scores have other
    units explore alike.
    """

    def __init__(
        self,
        make: Callable[[InteractionLog, int], Recommender | None],
        *,
        every_h: float = np.inf,
        sharpness: float = 3.0,
        seed: int = 0,
    ) -> None:
        """Nothing is made yet: the first one is, when the world begins.

        Args:
            make: all clicks known so far, with a catalogue of all items published so far, and now
                in microseconds since the epoch, to what is served from then on; to serve a
                release as it is, return it. None: too little is known, what was served stays, and
                before there is anything, anything is shown.
            every_h: hours between two makings.
            sharpness: > 0; how much better ranks are preferred.
            seed: of the slates.
        """
        if every_h <= 0 or sharpness <= 0:
            raise InputError(
                f"`every_h` and `sharpness` must be positive, got {every_h} and {sharpness}"
            )
        self.make, self.every_h, self.sharpness, self.seed = make, every_h, sharpness, seed
        self._clicks: list[Clicks] = []
        self._published: list[NewItems] = []
        self._due_h = 0.0
        self._served: Recommender | None = None
        self._log: InteractionLog | None = None

    def observe(self, feedback: Feedback) -> None:
        """Note clicks and items; make a recommender when one is due."""
        self._published.append(feedback.new_items)
        if len(feedback.clicks):
            self._clicks.append(feedback.clicks)
        if feedback.until_h >= self._due_h - CLOCK:
            self._due_h = feedback.until_h + self.every_h
            catalogue = Vocabulary(np.concatenate([new.item_ids for new in self._published]))
            at = int(instants(np.array([feedback.until_h])).dt.epoch("us")[0])
            self._served = self.make(self._clicked(catalogue), at) or self._served
        if self._served is not None:
            self._log = self._clicked(self._served.items)

    def slates(self, asked: Asked) -> Slates:
        """Of items in the recommender's catalogue; of any where those are fewer than a slate."""
        if self._served is None or self._log is None:
            return uniform_slates(asked, seed=self.seed)
        rows = self._served.items.rows(asked.item_ids)
        known = rows >= 0
        if np.count_nonzero(known) < asked.slate:
            return uniform_slates(asked, seed=self.seed)
        at = instants(asked.hours).dt.epoch("us").to_numpy()
        scores = self._served.score_items(self._log.queries(asked.user_ids, at))[:, rows[known]]
        order = np.argsort(-scores, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(1, order.shape[1] + 1)[None, :], axis=1)
        indexed = Asked(
            asked.request_ids, asked.user_ids, asked.hours, asked.item_ids[known], asked.slate
        )
        return scored_slates(
            indexed,
            -np.log(ranks),
            temperature=1 / self.sharpness,
            random_share=PUBLISHED["random_share"].value,
            seed=self.seed,
        )

    def _clicked(self, catalogue: Vocabulary) -> InteractionLog:
        clicks = all_clicks(self._clicks)
        of = clicks.of
        # ids ascend from 0 in order of birth
        duration_s = np.concatenate([new.duration_s for new in self._published])
        frame = pl.DataFrame(
            {
                c.USER_ID: of.user_ids,
                c.ITEM_ID: of.item_ids,
                c.TS: instants(of.hours),
                c.WATCH_RATIO: clicks.watch_s / duration_s[of.item_ids],
            }
        )
        return InteractionLog.from_events(frame, items=catalogue)
