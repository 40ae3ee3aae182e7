"""What a test asks: requests by the data's protocol, and what was clicked after them."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.ranking import RankingResult, evaluate
from recbench.evaluation.recommender import Recommender, recommend
from recbench.tables.log import Protocol, repeats
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Exam"]


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """The requests of one test and what was clicked after them.

    A request is a user as of the cut; under ``next_in_session`` it is each event of the test that
    has a past in its session, with everything before it visible.
    """

    queries: Queries
    train: pl.DataFrame  # what makes a request known, in the requests' ids
    test: pl.DataFrame  # what was clicked, in the requests' ids
    repeats: bool
    k: int = 20
    owners: npt.NDArray[np.int64] | None = None  # (Q,) whose requests they are, where renamed

    @classmethod
    def of(
        cls,
        *,
        protocol: Protocol,
        past: pl.DataFrame,
        test: pl.DataFrame,
        at: int,
        items: Vocabulary,
        k: int = 20,
        every_item: Vocabulary | None = None,
    ) -> "Exam":
        """The exam that ``test`` sets to a model that has seen ``past``.

        Args:
            protocol: of the data.
            past: events before the cut.
            test: events after it.
            at: the cut, microseconds.
            items: the catalogue.
            k: list length.
            every_item: what counts as a session's past, where models of several catalogues are to
                be asked the same; default: ``items``.
        """
        test = test.filter(pl.col(c.CLICKED))
        if protocol == "next_in_session":
            wider = items if every_item is None else every_item
            return cls._of_next_events(past, test, items=items, every_item=wider, k=k)
        log = InteractionLog.from_events(past, items=items)
        queries = log.queries(test[c.USER_ID].unique().sort(), at)
        return cls(queries, past, test, repeats(protocol), k)

    @classmethod
    def _of_next_events(
        cls,
        past: pl.DataFrame,
        test: pl.DataFrame,
        *,
        items: Vocabulary,
        every_item: Vocabulary,
        k: int,
    ) -> "Exam":
        events, ts = pl.concat([past, test], how="diagonal"), test[c.TS].dt.epoch("us").to_numpy()
        queries, wider = (
            InteractionLog.from_events(events, items=catalogue).queries(test[c.USER_ID], ts)
            for catalogue in (items, every_item)
        )
        asked = np.flatnonzero(wider.is_known)
        if not len(asked):
            raise InputError("No session of the test has a second event after an earlier one")
        chosen = queries.take(asked)
        numbered = pl.Series(c.USER_ID, np.arange(len(asked)))
        renamed = replace(chosen, user_ids=numbered.to_numpy())
        targets = test[asked].with_columns(numbered)
        known = pl.DataFrame({c.USER_ID: numbered, c.ITEM_ID: targets[c.ITEM_ID]})
        return cls(renamed, known, targets, True, k, owners=chosen.user_ids)

    def known_only(self) -> "Exam":
        """The same exam for requests with a history."""
        queries = self.queries.take(self.queries.is_known)
        kept = pl.col(c.USER_ID).is_in(pl.Series(queries.user_ids).implode())
        test = self.test.filter(kept)
        return replace(self, queries=queries, test=test)

    def grade(self, model: Recommender, *, resamples: int = 2_000) -> RankingResult:
        """How the model does."""
        lists = recommend(model, self.queries, k=self.k, repeats=self.repeats)
        return evaluate(
            lists,
            train=self.train,
            test=self.test,
            repeats=self.repeats,
            k=self.k,
            resamples=resamples,
        )

    def by_user(self, model: Recommender) -> pl.DataFrame:
        """``user_id``, ``known`` and NDCG as ``value``, a row a request with something to find."""
        graded = self.grade(model, resamples=0)
        frame = graded.by_user.select(c.USER_ID, "known", pl.col(f"ndcg@{self.k}").alias("value"))
        if self.owners is None:
            return frame
        return frame.with_columns(pl.Series(c.USER_ID, self.owners[frame[c.USER_ID].to_numpy()]))

    def score(self, model: Recommender, *, group: str = "known") -> float:
        """The model's mean NDCG over a group of requests."""
        values = self.grade(model, resamples=0).values(f"ndcg@{self.k}", group).to_numpy()
        return float(values.mean()) if len(values) else 0.0
