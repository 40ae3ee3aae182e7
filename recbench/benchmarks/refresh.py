"""A refresh beside full fits of the same log: its cost, what it recovers, how soon it serves."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.benchmarks.result import BenchResult, medians
from recbench.benchmarks.taste_world import taste_world
from recbench.errors import InputError, JobError
from recbench.evaluation.exam import Exam
from recbench.features.batch import window_lookup
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.build import FittedTwoTower
from recbench.jobs.learned import learned_state
from recbench.jobs.publish import make_release
from recbench.jobs.refresh import Refresh
from recbench.jobs.study import Study, TunedPrior
from recbench.refresh import Registry
from recbench.refresh.judge import recommender_of
from recbench.refresh.state import LearnedState
from recbench.serving import ReleasedRecommender
from recbench.settings import Experiment, TrainingSettings
from recbench.tables.lake import LakeTable
from recbench.tables.lake_log import LakeLog
from recbench.tables.log import EventLog

__all__ = ["run"]

WINDOW = 0.01  # of the log: what a refresh brings
NEAR_BEST = 0.995  # a full fit is as good as its best from here on
JUDGED = 2_000  # users of the window after the refresh
HALF_LIFE_S = 86_400.0
KEYS = (
    "update_cpu_frac",
    "update_cpu_s",
    "full_fit_cpu_s",
    "job_cpu_s",
    "event_to_served_s",
    "stale_frac_of_retrain",
    "refresh_frac_of_retrain",
    "gain_recovered",
)
Result = TypeVar("Result")


def run(*, runs: int = 1, events: int = 5_000_000, seed: int = 0) -> BenchResult:
    """One refresh by the last but one hundredth of a generated log, judged on the last.

    ``full_fit_cpu_s`` is the user and system time of the cheapest full fit on the 98 hundredths
    before: as many steps as bring its validation within 0.5 % of the best that it reaches at all,
    without the measuring. ``update_cpu_s`` is read, grow, update and embed anew; ``job_cpu_s`` is
    everything from opening the release to moving the pointer, gate and export included.
    ``event_to_served_s`` is the time from the append to the lake until the release that knows the
    event has been loaded and has answered, in a process that is running already.

    Args:
        runs: how often the refresh is done and timed; the full fits are made once.
        events: of the generated log.
        seed: of log, weights and batches.

    Raises:
        InputError: a number below 1.
        JobError: the refresh was not published.
    """
    if min(runs, events) < 1:
        raise InputError(f"`runs` and `events` must be positive, got {runs, events}")
    clicks, items = taste_world(events, seed=seed)
    n = max(1, int(WINDOW * len(clicks)))
    before, fresh, after = clicks[: -2 * n], clicks[-2 * n : -n], clicks[-n:]
    experiment = Experiment(training=TrainingSettings(max_steps=4_000), seed=seed)
    log = EventLog("generated", "masked", before, items, version=0)
    start, end = (int(part[c.TS].dt.epoch("us")[0]) for part in (fresh, after))

    lab = Study.of(log.until(start), experiment)
    prior = TunedPrior(HALF_LIFE_S, float("nan"), pl.DataFrame(), {})
    curve = lab.fit_on_train(prior).curve
    best = max(value for _, value in curve)
    steps = next(step for step, value in curve if value >= NEAR_BEST * best)
    fitted, full_fit_cpu_s = _timed(
        lambda: lab.fit(at=start, steps=max(1, steps), half_life_s=HALF_LIFE_S)
    )
    later = replace(log, events=pl.concat([before, fresh])).until(end)
    retrained = Study.of(later, experiment).fit(
        at=end, steps=max(1, steps), half_life_s=HALF_LIFE_S
    )

    measured = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            workspace = Path(folder)
            figures, states = _refreshed(
                workspace, log.until(start), fresh, items, fitted, experiment, start=start
            )
        late = learned_state(retrained, later, experiment=experiment)
        quality = _quality([*states, late], later.events, after, experiment, at=end)
        measured.append(
            figures
            | quality
            | {
                "full_fit_cpu_s": full_fit_cpu_s,
                "update_cpu_frac": figures["update_cpu_s"] / full_fit_cpu_s,
            }
        )
    return BenchResult(
        "refresh", medians(measured, keys=KEYS) | {"full_fit_steps": steps}, measured
    )


def _refreshed(
    workspace: Path,
    log: EventLog,
    fresh: pl.DataFrame,
    items: pl.DataFrame,
    fitted: FittedTwoTower,
    experiment: Experiment,
    *,
    start: int,
) -> tuple[dict[str, float], list[LearnedState]]:
    """Costs of one refresh, and the states before and after it."""
    table = LakeTable(workspace / "lake" / "generated" / "events", by_day=True)
    table.append(log.events)
    registry = Registry(workspace / "registry")
    made = make_release(
        fitted, log, log.events, registry=registry, experiment=experiment, metrics={}
    )
    registry.publish(made.manifest.release)

    landed = time.perf_counter()
    version = table.append(fresh)
    cpu = time.process_time()
    job = Refresh.of(LakeLog("generated", "masked", table, version, items), workspace=workspace)
    outcome = job.run()
    job_cpu_s = time.process_time() - cpu
    if outcome.decision != "publish":
        raise JobError(f"The refresh was not published: {outcome.reasons}")
    served = ReleasedRecommender.load(registry.open())
    user = fresh[c.USER_ID][-1]
    served.recommend(np.array([user]), k=20)
    served_s = time.perf_counter() - landed

    before, after = job.window.state, job.update().state
    features = window_lookup(fresh.head(0), DEFAULT_WINDOW_FEATURES)
    length = experiment.features.history_length
    _, embed_cpu_s = _timed(
        lambda: recommender_of(
            after.towers, after.items, after.popularity, features, history_length=length
        )
    )
    costs = job.costs()
    figures = {
        "update_cpu_s": costs["read"] + costs["update"] + embed_cpu_s,
        "job_cpu_s": job_cpu_s,
        "event_to_served_s": served_s,
    }
    return figures, [before, after]


def _quality(
    states: list[LearnedState],
    known: pl.DataFrame,
    after: pl.DataFrame,
    experiment: Experiment,
    *,
    at: int,
) -> dict[str, float]:
    """NDCG of nothing, refresh and retrain on the window after, as shares of the last."""
    users = after[c.USER_ID].unique(maintain_order=True)[:JUDGED].implode()
    past, test = (part.filter(pl.col(c.USER_ID).is_in(users)) for part in (known, after))
    features = window_lookup(pl.concat([past, test]), DEFAULT_WINDOW_FEATURES)
    values = []
    for state in states:
        model = recommender_of(
            state.towers,
            state.items,
            state.popularity,
            features,
            history_length=experiment.features.history_length,
        )
        exam = Exam.of(protocol="masked", past=past, test=test, at=at, items=state.items)
        values.append(float(exam.by_user(model)["value"].mean()))  # type: ignore[arg-type]  # a float column
    stale, refreshed, retrained = values
    return {
        "stale_frac_of_retrain": stale / retrained,
        "refresh_frac_of_retrain": refreshed / retrained,
        "gain_recovered": (refreshed - stale) / (retrained - stale),
    }


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """The result, and its user and system time."""
    begun = time.process_time()
    found = work()
    return found, time.process_time() - begun
