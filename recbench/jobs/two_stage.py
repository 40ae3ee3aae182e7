"""Retrievers and ranker fitted on one log: earlier cuts of it play the test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.exam import Exam
from recbench.evaluation.recommender import Recommender
from recbench.models.baselines import (
    ALS,
    VSKNN,
    DecayedEASE,
    ItemKNN,
    Markov,
    PersonalFrequency,
    RecencyPopularity,
)
from recbench.models.content import ItemContent
from recbench.models.ranking import RankingFeatures, Retrievers
from recbench.models.ranking.two_stage import TwoStage
from recbench.models.ranking.years import ItemYears
from recbench.settings import RankingSettings
from recbench.tables.log import EventLog, Protocol, catalogue
from recbench.tables.queries import InteractionLog
from recbench.training.listwise import RankedLists, fit_ranker

__all__ = ["FirstStage", "first_stage", "fit_two_stage", "pseudo_lists", "second_stage"]

QUERIES_AT_ONCE = 256
DAY_S = 86_400.0
POPULARITY_DAYS = (0.25, 1.0, 4.0, 16.0)
# what a ranker's score starts at, by its features: a few weeks have too few hits to learn it from
PRIORS: dict[Protocol, dict[str, float]] = {"masked": {"popularity, 1 d, share": 0.8}}
NEWCOMER_DAYS = 21.0  # since its first click
NEWCOMERS = "newcomers"


@dataclass(frozen=True, slots=True, eq=False)
class FirstStage:
    """Retrievers as of one instant, and what a ranker is told as of then."""

    retrievers: Retrievers
    features: RankingFeatures

    def lists(self, exam: Exam) -> RankedLists:
        """The candidates of the exam's requests, and which of them were clicked after it."""
        queries = exam.queries
        wanted = exam.test.select(c.USER_ID, c.ITEM_ID).unique()
        asked = np.argsort(queries.user_ids, kind="stable")
        place = np.searchsorted(queries.user_ids[asked], wanted[c.USER_ID].to_numpy())
        owner = asked[place]
        rows = queries.items.rows(wanted[c.ITEM_ID])
        parts = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            batch = queries.take(slice(start, start + QUERIES_AT_ONCE))
            candidates = self.retrievers.candidates(batch)
            mine = (owner >= start) & (owner < start + len(batch)) & (rows >= 0)
            clicked = np.zeros((len(batch), len(queries.items)), dtype=bool)
            clicked[owner[mine] - start, rows[mine]] = True
            relevant = np.take_along_axis(clicked, np.maximum(candidates.rows, 0), axis=1)
            held = candidates.held
            parts.append(RankedLists(self.features(batch, candidates), held, relevant & held))
        return _joined(parts)


def fit_two_stage(
    data: EventLog,
    events: pl.DataFrame,
    *,
    at: int,
    horizon_us: int,
    settings: RankingSettings,
    seed: int = 0,
) -> TwoStage:
    """Retrieval and ranking as of ``at``, learned from ``events`` before it.

    Args:
        data: where the events come from; its protocol decides what a request is.
        events: the part to learn from.
        at: microseconds since the epoch.
        horizon_us: how long after a cut a click is a target: as long as the test lasts.
        settings: of the ranker.
        seed: of the ranker and of what retrievers draw.
    """
    lists = pseudo_lists(data, events, at=at, horizon_us=horizon_us, settings=settings)
    stage = first_stage(data, events, at=at, settings=settings)
    return second_stage(stage, lists, protocol=data.protocol, settings=settings, seed=seed)


def second_stage(
    stage: FirstStage,
    lists: Sequence[RankedLists],
    *,
    protocol: Protocol,
    settings: RankingSettings,
    seed: int = 0,
) -> TwoStage:
    """Both stages, the ranker learned from lists of earlier cuts with the same features."""
    weights = PRIORS.get(protocol, {})
    prior = np.array([weights.get(name, 0.0) for name in stage.features.names], dtype=np.float32)
    ranker = fit_ranker(
        lists,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        hidden_dim=settings.hidden_dim,
        prior=prior if prior.any() else None,
        seed=seed,
    )
    return TwoStage(stage.retrievers, stage.features, ranker)


def pseudo_lists(
    data: EventLog,
    events: pl.DataFrame,
    *,
    at: int,
    horizon_us: int,
    settings: RankingSettings,
) -> list[RankedLists]:
    """What the ranker learns from: for each earlier cut its lists, the latest cut first.

    A cut sees only what was before it, and its targets end before ``at``: the latest ones are
    given less than the horizon, but are of the present.

    Raises:
        InputError: the log has no cut with a past and with requests after it.
    """
    items, ts = catalogue(data), pl.col(c.TS).dt.epoch("us")
    start = int(events[c.TS].dt.epoch("us").min())  # type: ignore[arg-type]  # instants
    lists: list[RankedLists] = []
    for back in _instants(data.protocol, settings):
        cut = int(at - horizon_us * back)
        if cut <= start + horizon_us:
            break
        past = events.filter(ts < cut)
        after = events.filter(ts >= cut, ts < min(cut + horizon_us, at))
        exam = Exam.of(protocol=data.protocol, past=past, test=after, at=cut, items=items)
        exam = _sample(exam.known_only(), most=settings.most_lists, seed=len(lists))
        if len(exam.queries):
            lists.append(first_stage(data, past, at=cut, settings=settings).lists(exam))
    if not lists:
        raise InputError(
            f"{len(events)} events hold no cut with {horizon_us / 3.6e9:.1f} hours before and "
            "after it: give a longer log, or rank without a second stage"
        )
    return lists


def _instants(protocol: Protocol, settings: RankingSettings) -> list[float]:
    """How many horizons before the end each cut lies, the latest first."""
    spacing = settings.spacing_frac
    if protocol == "next_in_session":
        spacing = max(1.0, spacing)  # each event is one request: it should not come twice
    n_late = int((1.0 - settings.least_horizon_frac) / spacing + 1e-9)
    return [1.0 + spacing * number for number in range(-n_late, settings.n_cuts)]


def first_stage(
    data: EventLog, events: pl.DataFrame, *, at: int, settings: RankingSettings
) -> FirstStage:
    """Retrievers and features as of ``at``, from ``events`` before it."""
    items = catalogue(data)
    log = InteractionLog.from_events(events, items=items)
    models = dict(_retrievers_for(log, at=at, protocol=data.protocol))
    years = ItemYears.from_items(data.items, items)
    if years.are_known:
        models[NEWCOMERS] = _newcomers(log, at=at, years=years)
    popular = frozenset(n for n, m in models.items() if isinstance(m, RecencyPopularity))
    retrievers = Retrievers(models, settings.n_each, data.repeats, untold=popular)
    features = RankingFeatures.of(
        log,
        at=at,
        half_lives_s=settings.half_lives_s,
        category=ItemContent.from_items(data.items, items).category,
        retrievers=retrievers.told,
        years=years,
    )
    return FirstStage(retrievers, features)


def _retrievers_for(
    log: InteractionLog, *, at: int, protocol: Protocol
) -> Mapping[str, Recommender]:
    """Who brings candidates under a protocol, fitted on the clicks of ``log`` before ``at``."""
    models: dict[str, Recommender] = {
        f"popularity, {days:g} d": RecencyPopularity.fit(log, at=at, half_life_s=days * DAY_S)
        for days in POPULARITY_DAYS
    }
    if protocol == "next_in_session":
        return models | {
            "Markov": Markov.fit(log),
            "Markov, next": Markov.fit(log, gap=1, two_way=False),
            "V-SKNN": VSKNN.fit(log),
            "ItemKNN": ItemKNN.fit(log),
        }
    if protocol == "masked":
        lately = DecayedEASE.fit(log, at=at)
        # the same weights read twice: what was taken lately, and all that ever was
        return models | {"EASE": lately, "EASE, whole": replace(lately, query_half_life_s=np.inf)}
    if protocol == "next_basket":
        models["ALS"] = ALS.fit(log, factors=64)
        models["own"] = PersonalFrequency(log.items)
        models["EASE"] = DecayedEASE.fit(
            log, at=at, half_life_s=np.inf, query_half_life_s=np.inf, regularisation=400.0
        )
    models["ItemKNN"] = ItemKNN.fit(log)
    return models


def _newcomers(log: InteractionLog, *, at: int, years: ItemYears) -> RecencyPopularity:
    """The popularity of items of this year that were first clicked a short while ago.

    What comes out next week has few clicks of previews, and no other retriever brings it.
    """
    popular = RecencyPopularity.fit(log, at=at, half_life_s=POPULARITY_DAYS[2] * DAY_S)
    early = log.ts < at - NEWCOMER_DAYS * DAY_S * 1e6
    there = np.zeros(len(log.items), dtype=bool)
    there[log.item_rows[early]] = True
    brought = years.is_new(at) & ~there
    return replace(popular, popularity=np.where(brought, popular.popularity, np.float32(0.0)))


def _sample(exam: Exam, *, most: int, seed: int) -> Exam:
    """At most so many requests of the exam."""
    if len(exam.queries) <= most:
        return exam
    chosen = np.random.default_rng(seed).permutation(len(exam.queries))[:most]
    queries = exam.queries.take(np.sort(chosen))
    kept = pl.col(c.USER_ID).is_in(pl.Series(queries.user_ids).implode())
    return replace(exam, queries=queries, test=exam.test.filter(kept))


def _joined(parts: list[RankedLists]) -> RankedLists:
    """All lists in one, as wide as the widest."""
    width = max(part.held.shape[1] for part in parts)

    def wide(array: np.ndarray) -> np.ndarray:
        padding = [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
        return np.pad(array, padding)

    return RankedLists(
        np.concatenate([wide(part.features) for part in parts]),
        np.concatenate([wide(part.held) for part in parts]),
        np.concatenate([wide(part.relevant) for part in parts]),
    )
