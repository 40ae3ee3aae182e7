"""MovieLens-100K with each user's last event left out: what published tables report.

The protocol leaks: models know what others did after the event that is asked for. It stands here
to compare with such tables only; `04_benchmark` judges by time.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.benchmarks.result import BenchResult, medians
from recbench.errors import InputError
from recbench.evaluation.exam import Exam
from recbench.evaluation.recommender import Recommender
from recbench.jobs import study
from recbench.jobs.two_stage import FirstStage
from recbench.models.baselines import ALS, DecayedEASE, ItemKNN, Markov, Popularity
from recbench.models.content import ItemContent
from recbench.models.ranking import RankingFeatures, Retrievers
from recbench.models.ranking.two_stage import TwoStage
from recbench.settings import workspace_path
from recbench.tables.log import EventLog, catalogue
from recbench.tables.queries import InteractionLog
from recbench.training.listwise import fit_ranker

__all__ = ["left_out", "run"]

DATA = "movielens-100k"
N_EACH = 60
EPOCHS = 6
EARLIER = 5  # events before the last that the ranker learns from, each left out in its turn
HALF_LIFE_S = 30 * 86_400.0
KEY = "ndcg@10"


def run(*, runs: int = 3) -> BenchResult:
    """NDCG@10 over the whole catalogue without what was seen: both stages, and each retriever.

    Args:
        runs: seeds of the ranker.

    Raises:
        InputError: ``runs`` below 1.
    """
    if runs < 1:
        raise InputError(f"`runs` must be at least 1, got {runs}")
    log = study.open_log(DATA, workspace=workspace_path(), items="", protocol="masked")
    stage, exam = left_out(log, back=0)
    learned = [earlier.lists(asked) for earlier, asked in _earlier(log)]
    values = {
        f"{KEY} {name}": exam.score(model, group="all")
        for name, model in stage.retrievers.models.items()
    }
    measured = []
    for seed in range(runs):
        ranker = fit_ranker(learned, epochs=EPOCHS, seed=seed)
        model = TwoStage(stage.retrievers, stage.features, ranker)
        found = exam.grade(model).interval(KEY, "all")
        assert found is not None  # every user has one event to find
        own = {KEY: found.value, f"{KEY} low": found.low, f"{KEY} high": found.high}
        measured.append(own | values)
    return BenchResult("leave_one_out", medians(measured, keys=list(measured[0])), measured)


def left_out(data: EventLog, *, back: int) -> tuple[FirstStage, Exam]:
    """Models that know of each user what came before the event ``back`` events from its last.

    The exam asks for that event; ties of one instant keep the order of the file.
    """
    events = data.events.sort(c.TS, maintain_order=True)
    later = pl.len().over(c.USER_ID) - 1 - pl.int_range(pl.len()).over(c.USER_ID)
    past, asked = events.filter(later > back), events.filter(later == back).sort(c.USER_ID)
    items = catalogue(data)
    log = InteractionLog.from_events(past, items=items)
    end = int(events[c.TS].dt.epoch("us").max()) + 1  # type: ignore[arg-type]  # an instant
    retrievers = Retrievers(_retrievers(log, at=end), N_EACH, repeats=False)
    features = RankingFeatures.of(
        log,
        at=end,
        half_lives_s=[HALF_LIFE_S],
        category=ItemContent.from_items(data.items, items).category,
        retrievers=retrievers.told,
    )
    # an instant later: events of the same second that stand before it in the file are its past
    queries = log.queries(asked[c.USER_ID], asked[c.TS].dt.epoch("us").to_numpy() + 1)
    return FirstStage(retrievers, features), Exam(queries, past, asked, False, k=10)


def _earlier(data: EventLog) -> list[tuple[FirstStage, Exam]]:
    return [left_out(data, back=back) for back in range(1, EARLIER + 1)]


def _retrievers(log: InteractionLog, *, at: int) -> Mapping[str, Recommender]:
    ease = DecayedEASE.fit(
        log, at=at, half_life_s=np.inf, query_half_life_s=np.inf, regularisation=200.0
    )
    return {
        "popularity": Popularity.fit(log),
        "Markov": Markov.fit(log, gap=1, two_way=False),
        "Markov, two-way": Markov.fit(log),
        "Markov, last ten": Markov.fit(log, gap=10, depth=10),
        "ItemKNN": ItemKNN.fit(log),
        "EASE": ease,
        "ALS": ALS.fit(log, factors=32),
    }
