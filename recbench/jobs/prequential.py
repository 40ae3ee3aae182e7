"""The same windows for four arms: nothing, popularity alone, refresh, and a full retrain each time.

A model is judged on a window before anything is learned from it. What was graded is kept in a
folder, so that an interrupted run does not retrain for the same window again.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.exam import Exam
from recbench.evaluation.prequential import Recovery, by_window, gap_slope, recovery
from recbench.features.batch import window_lookup
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.files import whole_file
from recbench.jobs.build import Cut, fit_two_tower
from recbench.jobs.code_digest import code_digest
from recbench.jobs.learned import learned_state
from recbench.jobs.progress import rounds_of
from recbench.jobs.refresh_plan import plan_of
from recbench.jobs.study import Study
from recbench.models.frozen import TwoTowerRecommender, WindowLookup
from recbench.refresh.advance import advance
from recbench.refresh.judge import recommender_of
from recbench.refresh.state import LearnedState
from recbench.settings import Experiment, RefreshSettings
from recbench.tables.log import EventLog
from recbench.tables.vocabulary import Vocabulary

__all__ = ["ARMS", "Prequential", "window_edges"]

ARMS = ("nothing", "popularity alone", "refresh", "retrain")


def window_edges(log: EventLog, *, n_windows: int, share: float = 0.01) -> list[int]:
    """Where the log's last windows begin, and its end; microseconds since the epoch.

    Args:
        log: in order of time.
        n_windows: how many.
        share: of the log's events, in each window.

    Raises:
        InputError: the windows would take more than half of the log.
    """
    ts = log.events[c.TS].dt.epoch("us")
    n = max(1, int(share * len(ts)))
    if n_windows < 1 or n_windows * n > len(ts) // 2:
        raise InputError(
            f"{n_windows} windows of {share:.1%} are more than half of the log; ask for fewer"
        )
    starts = [int(ts[len(ts) - (n_windows - number) * n]) for number in range(n_windows)]
    return [*dict.fromkeys(starts), int(ts[-1]) + 1]


@dataclass(frozen=True, eq=False)
class Prequential:
    """One log, its windows and dials, and the results of each arm in ``folder``."""

    log: EventLog
    edges: list[int]
    experiment: Experiment
    settings: RefreshSettings
    steps: int  # of a full fit on what is before the first window
    horizon_us: int  # of a full fit's targets
    half_life_s: float  # of the recency prior
    folder: Path
    k: int = 20

    @classmethod
    def of(
        cls,
        log: EventLog,
        *,
        n_windows: int,
        share: float,
        experiment: Experiment,
        settings: RefreshSettings,
        folder: Path,
        k: int = 20,
    ) -> Self:
        """The last windows of a log; dials of the full fit are chosen on what is before them.

        Args:
            log: in order of time.
            n_windows: how many.
            share: of the log's events, in each window.
            experiment: of every full fit.
            settings: of every refresh.
            folder: where results are kept.
            k: length of the lists that are judged.
        """
        edges = window_edges(log, n_windows=n_windows, share=share)
        lab = Study.of(log.until(edges[0]), experiment, k=k)
        prior = lab.tune_prior()
        measured = lab.fit_on_train(prior)
        return cls(
            log=log,
            edges=edges,
            experiment=experiment,
            settings=settings,
            steps=measured.steps,
            horizon_us=lab.horizon_us,
            half_life_s=prior.half_life_s,
            folder=folder,
            k=k,
        )

    def arm(self, name: str) -> pl.DataFrame:
        """``window, user_id, known, value``: NDCG of every request under one arm.

        Args:
            name: one of ``ARMS``.
        """
        if name not in ARMS:
            raise InputError(f"`name` must be one of {ARMS}, got {name!r}")
        whole = self._place(name)
        if not whole.exists():
            _write(pl.concat(self._graded(name)), whole)
        return pl.read_parquet(whole)

    def recoveries(self, *, known: bool = False) -> dict[str, Recovery]:
        """Each arm between doing nothing and retrains."""
        frames = {name: self.arm(name) for name in ARMS}
        retrain, nothing = frames["retrain"], frames["nothing"]
        return {
            name: recovery(frame, retrain=retrain, nothing=nothing, known=known)
            for name, frame in frames.items()
        }

    def table(self) -> pl.DataFrame:
        """One row an arm and group of requests."""
        rows = []
        for group in ("all", "known"):
            for name, found in self.recoveries(known=group == "known").items():
                rows.append(
                    {
                        "arm": name,
                        "requests": group,
                        f"ndcg@{self.k}": str(found.value),
                        "of retrain": str(found.of_retrain),
                        "gain there is": str(found.gap),
                        "recovered": str(found.recovered or "no gain to recover"),
                    }
                )
        return pl.DataFrame(rows)

    def by_window(self) -> pl.DataFrame:
        """Each arm's mean in each window."""
        return by_window({name: self.arm(name) for name in ARMS})

    def summary(self) -> dict[str, float]:
        """The figures that a run is remembered by."""
        found = self.recoveries()
        slope = gap_slope(self.arm("refresh"), retrain=self.arm("retrain"))
        refresh, gap = found["refresh"], found["refresh"].gap
        figures = {
            "n_windows": float(len(self.edges) - 1),
            "refresh_frac_of_retrain": refresh.of_retrain.value,
            "refresh_frac_of_retrain_low": refresh.of_retrain.low,
            "stale_frac_of_retrain": found["nothing"].of_retrain.value,
            "gain_there_is": gap.value,
            "gain_there_is_low": gap.low,
            "gap_slope": slope.value,
            "gap_slope_low": slope.low,
            "gap_slope_high": slope.high,
        }
        if refresh.recovered is not None:
            figures |= {
                "gain_recovered": refresh.recovered.value,
                "gain_recovered_low": refresh.recovered.low,
            }
        return figures

    def _graded(self, name: str) -> Iterator[pl.DataFrame]:
        ends = [*zip(self.edges[:-1], self.edges[1:], strict=True)]
        state = self.fitted(self.edges[0]) if name != "retrain" else None
        steps = {"popularity alone": 0, "refresh": self.settings.steps}.get(name)
        for window, (start, end) in enumerate(rounds_of(ends, label=name, unit="window")):
            place = self._place(name, window)
            if not place.exists():
                model = self._recommender(state or self.fitted(start))
                graded = self._exam(model, start, end).by_user(model)
                _write(graded.with_columns(pl.lit(window, pl.Int64).alias("window")), place)
            yield pl.read_parquet(place)
            if state is not None and steps is not None:
                state = self._refreshed(state, start, end, steps=steps)

    def _place(self, name: str, window: int | None = None) -> Path:
        part = "" if window is None else f"-{window}"
        return self.folder / f"{self._key(name)}-{name.replace(' ', '_')}{part}.parquet"

    def _exam(self, model: TwoTowerRecommender, start: int, end: int) -> Exam:
        return Exam.of(
            protocol=self.log.protocol,
            past=self.between(None, start),
            test=self.between(start, end),
            at=start,
            items=model.items,
            every_item=self._every_item,
            k=self.k,
        )

    def _refreshed(self, state: LearnedState, start: int, end: int, *, steps: int) -> LearnedState:
        past = self.between(None, start)
        plan = plan_of(self.experiment, self.settings, protocol=self.log.protocol)
        return advance(
            state,
            self.between(start, end),
            to=end,
            items=self.log.items,
            past=lambda users: past.filter(pl.col(c.USER_ID).is_in(users.implode())),
            plan=replace(plan, steps=steps),
        ).state

    def fitted(self, at: int) -> LearnedState:
        """A full fit on everything before ``at``; items that nobody has met are unknown."""
        if at not in self._states:
            log = self.log.until(at)
            events = log.events
            cut = Cut(at=at, horizon_us=self.horizon_us, half_life_s=self.half_life_s)
            # as many times over the data as the first fit went
            steps = round(self.steps * len(events) / len(self.between(None, self.edges[0])))
            fitted = fit_two_tower(
                log, events, cut, experiment=self.experiment, steps=steps, label="retrain"
            )
            state = learned_state(fitted, log, experiment=self.experiment)
            if at != self.edges[0]:  # the others are needed once
                return state
            self._states[at] = state
        return self._states[at]

    def _recommender(self, state: LearnedState) -> TwoTowerRecommender:
        return recommender_of(
            state.towers,
            state.items,
            state.popularity,
            self._window_features,
            history_length=self.experiment.features.history_length,
            hidden=self.hidden(state),
        )

    def hidden(self, state: LearnedState) -> npt.NDArray[np.int64]:
        """Item rows that a state does not recommend."""
        return state.tombstones(idle_us=self.settings.idle_days * 86_400e6)

    def between(self, start: int | None, end: int) -> pl.DataFrame:
        """The events in [start, end), microseconds since the epoch; None: from the beginning."""
        low = 0 if start is None else int(np.searchsorted(self._ts, start))
        return self.log.events[low : int(np.searchsorted(self._ts, end))]

    @cached_property
    def _ts(self) -> npt.NDArray[np.int64]:
        return self.log.events[c.TS].dt.epoch("us").to_numpy()

    @cached_property
    def _every_item(self) -> Vocabulary:
        return Vocabulary.of(self.log.events[c.ITEM_ID])

    @cached_property
    def _window_features(self) -> WindowLookup:
        return window_lookup(self.log.events, DEFAULT_WINDOW_FEATURES)

    @cached_property
    def _states(self) -> dict[int, LearnedState]:
        return {}

    def _key(self, name: str) -> str:
        """Of what decides an arm's result."""
        decides = {
            "log": [self.log.name, self.log.version],
            "edges": self.edges,
            "fit": [
                dataclasses.asdict(self.experiment),
                self.steps,
                self.horizon_us,
                self.half_life_s,
            ],
            "refresh": dataclasses.asdict(self.settings) if name == "refresh" else None,
            "k": self.k,
            "code": code_digest(),
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]


def _write(frame: pl.DataFrame, place: Path) -> None:
    with whole_file(place) as draft:
        frame.write_parquet(draft)
