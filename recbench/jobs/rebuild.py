"""A full fit as a job: the first release of a log, and another where small steps fail."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from recbench import __version__
from recbench import columns as c
from recbench.features.batch import window_lookup
from recbench.features.running_popularity import RunningPopularity
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.learned import learned_state, recent_facts
from recbench.jobs.outcomes import Outcome
from recbench.jobs.publish import PARITY_QUERIES, bind
from recbench.jobs.refresh import Refresh
from recbench.jobs.seal import seal_release
from recbench.jobs.study import Study
from recbench.models.frozen import WindowLookup
from recbench.refresh import Manifest, Registry, Release
from recbench.refresh.gate import Measured, Paired, Verdict, gate
from recbench.refresh.held_back import is_held_back
from recbench.refresh.judge import paired, recommender_of
from recbench.refresh.notes import Notes
from recbench.refresh.state import LearnedState
from recbench.settings import Experiment
from recbench.tables.lake_log import LakeLog
from recbench.tables.log import EventLog
from recbench.tables.queries import InteractionLog

__all__ = ["first_release", "rebuild"]


def first_release(
    log: LakeLog,
    *,
    workspace: Path,
    share: float,
    experiment: Experiment | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Release:
    """The current release; where there is none, one of the first ``share`` of the log is made.

    Args:
        log: as of one version of the lake.
        workspace: holds ``registry/``.
        share: of the log's events.
        experiment: dials of a first release.
        say: told what goes on.
    """
    registry = Registry(workspace / "registry")
    if registry.current() is not None:
        return registry.open()
    say(f"There is no release yet: one is made of the first {share:.0%} of the log")
    lab = Study.of(log.until(log.instant_at(share)), experiment or Experiment())
    prior = lab.tune_prior()
    measured = lab.fit_on_train(prior)
    final = lab.fit_on_past(prior, steps=measured.steps)
    last = lab.fit_on_all(prior, steps=measured.steps)
    return lab.release(last, lab.results(final, prior), workspace=workspace).release


def rebuild(refresh: Refresh) -> Outcome:
    """A full fit on everything up to the refresh's end, published unless it is worse.

    The users that the refresh holds back judge it, too: what they did in the window is not
    trained on.

    Args:
        refresh: whose outcome was a full rebuild.
    """
    data = refresh.log.until(refresh.to)
    kept, past, tested = _parts(refresh, data)
    parent = refresh.window
    fitted = Study.of(kept, parent.experiment).fit(
        at=refresh.to,
        steps=int(refresh.parent.manifest.settings["steps"]),
        half_life_s=parent.state.popularity.half_lives_s[-1],
    )
    state = learned_state(fitted, kept, experiment=parent.experiment)
    window = window_lookup(data.events, DEFAULT_WINDOW_FEATURES)
    pair = _judged(refresh, state, past, tested, window)
    measured = Measured(facts=refresh.facts(), usual=parent.notes.facts, held_back=pair, gain=pair)
    verdict = gate(measured, refresh.limits, accept=refresh.accept)
    sealed = _sealed(refresh, data, state, window, verdict, measured, steps=fitted.steps)
    if verdict.decision == "publish":
        refresh.registry.publish(sealed)
    current = refresh.registry.current()
    return Outcome.of(verdict, release=sealed, current=current, done=refresh.done())


def _parts(refresh: Refresh, data: EventLog) -> tuple[EventLog, pl.DataFrame, pl.DataFrame]:
    """What is trained on; what was before the window; what users held back did in it."""
    start, number = refresh.window.state.at, refresh.window.state.number
    held = is_held_back(data.events[c.USER_ID].to_numpy(), number=number)
    fresh = data.events[c.TS].dt.epoch("us").to_numpy() >= start
    kept = replace(data, events=data.events.filter(pl.Series(~(held & fresh))))
    past = data.events.filter(pl.Series(~fresh))
    return kept, past, data.events.filter(pl.Series(held & fresh))


def _sealed(
    refresh: Refresh,
    data: EventLog,
    state: LearnedState,
    window: WindowLookup,
    verdict: Verdict,
    measured: Measured,
    *,
    steps: int,
) -> str:
    """The release of the new fit with everybody's events; its id."""
    experiment = refresh.window.experiment
    everything = InteractionLog.from_events(data.events, items=state.items)
    popularity = RunningPopularity.of(
        everything, at=refresh.to, half_lives_s=state.popularity.half_lives_s
    )
    state = replace(state, popularity=popularity)
    length = experiment.features.history_length
    model = recommender_of(state.towers, state.items, popularity, window, history_length=length)
    users = everything.users.ids
    metrics = {"measured": "at the rebuild", "refresh": measured.to_json()}
    with refresh.registry.draft() as draft:
        bound = bind(
            draft,
            state,
            model,
            item_features=data.items,
            events=data.events,
            notes=Notes(
                facts=recent_facts(data.events, end=refresh.to),
                n_known=len(data.events),
                n_items_full=len(state.items),
            ),
            metrics=metrics,
            asked=everything.queries(users[:: max(1, len(users) // PARITY_QUERIES)], refresh.to),
            export=experiment.export,
        )
        manifest = _manifest(refresh, data, bound, verdict, metrics, steps=steps)
        return seal_release(refresh.registry, draft, manifest).manifest.release


def _manifest(
    refresh: Refresh,
    data: EventLog,
    bound: dict[str, Any],
    verdict: Verdict,
    metrics: dict[str, Any],
    *,
    steps: int,
) -> Manifest:
    settings: dict[str, Any] = dataclasses.asdict(refresh.window.experiment) | {"steps": steps}
    return Manifest(
        release="",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data=data.name,
        protocol=data.protocol,
        watermark=str(data.events[c.TS].max()),
        lake_version=data.version,
        parent=refresh.registry.current(),
        gate=verdict.to_json(),
        metrics=metrics,
        settings=settings | {"rebuilt_after": refresh.parent.manifest.release},
        code={"version": __version__},
        **bound,
    )


def _judged(
    refresh: Refresh,
    state: LearnedState,
    past: pl.DataFrame,
    tested: pl.DataFrame,
    window: WindowLookup,
) -> Paired | None:
    """The new fit beside what is served now, each with popularity of its own."""
    judge, before, values = refresh.window.judge, refresh.window.state, []
    length = refresh.window.experiment.features.history_length
    for own in (state, before):
        exam = judge.exam(past, tested, at=before.at, items=own.items)
        model = recommender_of(own.towers, own.items, own.popularity, window, history_length=length)
        values.append(judge.values(model, exam))
    return paired(*values) if len(values[0]) == len(values[1]) else None
