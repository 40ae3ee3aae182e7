"""The two-tower among the arms: every release is one of recbench's own refreshes, of a lake."""

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.datasets import in_lake
from recbench.features.batch import window_lookup
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.build import towers_for
from recbench.jobs.rebuild import first_release, rebuild
from recbench.jobs.refresh import Refresh
from recbench.models.frozen import TwoTowerRecommender, WindowLookup
from recbench.refresh import Registry, Release
from recbench.refresh.judge import recommender_of
from recbench.refresh.stored import read_state
from recbench.settings import Experiment, RefreshSettings
from recbench.tables.click_stream import ClickStream, Histories
from recbench.tables.lake_log import LakeLog, as_instant
from recbench.tables.log import EventLog
from recbench.tables.queries import InteractionLog, Queries

__all__ = ["RefreshedTwoTower", "TwoTowerStart"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FILLS_UP = 1e-9  # its candidates carry their own popularity, as of their release


@dataclass(frozen=True, eq=False)
class TwoTowerStart:
    """A workspace with the log in its lake and a first release as of the test's begin.

    In this lake an event happens when it is known: what arrives late is learned from late.
    """

    log: EventLog
    stream: ClickStream
    at: int  # microseconds: where the test begins
    folder: Path
    experiment: Experiment

    def begun(self, place: Path) -> "RefreshedTwoTower":
        """Before the first release, in a copy of the workspace at ``place``, for one cadence."""
        first = self._first()
        shutil.copytree(first, place, dirs_exist_ok=True)
        return RefreshedTwoTower(self, place, replace(self._lake(place), name=self._name(first)))

    def _first(self) -> Path:
        """The workspace that is copied; made once."""
        workspace = self.folder / "workspace"
        share = int((self._known[c.TS] < as_instant(self.at)).sum()) / len(self._known)
        lake = self._lake(workspace)
        first_release(lake, workspace=workspace, share=share, experiment=self.experiment)
        return workspace

    def _lake(self, workspace: Path) -> LakeLog:
        place = self.folder / "log.events.parquet"
        if not place.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.log.items.write_parquet(self.folder / "log.items.parquet")
            self._known.write_parquet(place)
        return in_lake(place, workspace=workspace, protocol=self.log.protocol)

    @staticmethod
    def _name(workspace: Path) -> str:
        return Registry(workspace / "registry").open().manifest.data

    @cached_property
    def _known(self) -> pl.DataFrame:
        events = self.log.events
        if c.ARRIVAL_TS not in events.columns:
            return events
        known = pl.max_horizontal(c.TS, pl.col(c.ARRIVAL_TS).fill_null(pl.col(c.TS)))
        return events.with_columns(known.alias(c.TS)).sort(c.TS, maintain_order=True)

    @cached_property
    def clicks(self) -> InteractionLog:
        """In the order of ``ClickStream.order``; items by the stream's rows."""
        return InteractionLog.from_events(
            self._known, items=self.stream.items, users=self.stream.users
        )

    @cached_property
    def window(self) -> WindowLookup:
        """Window features as of any instant, of what had happened before it."""
        return window_lookup(self._known, DEFAULT_WINDOW_FEATURES)


@dataclass(frozen=True, eq=False)
class RefreshedTwoTower:
    """The current release of a registry, refreshed by `Refresh` with its forecast, gate, export.

    Popularity is part of its candidates and is as old as its weights.
    """

    start: TwoTowerStart
    workspace: Path
    lake: LakeLog
    model: TwoTowerRecommender | None = None
    prior: float = FILLS_UP

    def learned(self, stream: ClickStream, *, to: int) -> Self | None:
        """What serves after a refresh by the clicks known before ``to``; None: as before.

        The first call opens the release that the workspace begins with. A full rebuild, where the
        gate asks for one, is made at once, in the release's time.
        """
        registry = Registry(self.workspace / "registry")
        before = registry.current()
        if self.model is not None:
            job = Refresh.of(self.lake, workspace=self.workspace, until=to)
            if job.run().decision == "full rebuild":
                rebuild(job)
            if registry.current() == before:
                return None
        return replace(self, model=self._opened(registry.open()))

    def parts(self) -> dict[str, Any]:
        """Nothing: its files are in a registry of its own."""
        return {}

    def scores(self, histories: Histories) -> Floats:
        """(Q, n_items) logits; -inf for items that the release has not."""
        assert self.model is not None
        assert histories.at is not None
        assert histories.known_before is not None
        stream, clicks, known = self.start.stream, self.start.clicks, histories.known_before
        kept, log = self._held
        # where each history lies among the clicks on items that the release has
        place = np.concatenate([[0], np.cumsum(kept)])
        told = histories.user_rows >= 0
        starts = np.where(told, place[stream.starts[histories.user_rows]], 0)
        ends = np.where(told, place[histories.ends], 0)
        users = np.where(told, clicks.users.ids[histories.user_rows], -1)

        def as_known(user_ids: Ints, _: Ints) -> npt.NDArray[np.float32]:
            return self.start.window(user_ids, known)

        model = replace(self.model, window_features=as_known)
        found = model.score_items(Queries(users, histories.at, log, starts, ends))
        columns = stream.items.rows(self.model.items.ids)
        scores = np.full((len(histories), len(stream.items)), -np.inf)
        scores[:, columns[columns >= 0]] = found[:, columns >= 0]
        return scores

    @cached_property
    def _held(self) -> tuple[npt.NDArray[np.bool_], InteractionLog]:
        """Which clicks are on items of the release, and those, by its rows."""
        assert self.model is not None
        clicks, items = self.start.clicks, self.model.items
        rows = items.rows(clicks.items.ids[clicks.item_rows])
        kept = rows >= 0
        log = InteractionLog(
            clicks.users,
            items,
            clicks.user_rows[kept],
            rows[kept],
            clicks.ts[kept],
            watch_ratio=clicks.watch_ratio[kept],
            propensity=clicks.propensity[kept],
        )
        return kept, log

    def _opened(self, release: Release) -> TwoTowerRecommender:
        dials = Experiment.from_json(release.manifest.settings)
        state, _ = read_state(release.folder, lambda content: towers_for(content, dials))
        idle_us = RefreshSettings().idle_days * 86_400e6
        return recommender_of(
            state.towers,
            state.items,
            state.popularity,
            self.start.window,
            history_length=dials.features.history_length,
            hidden=state.tombstones(idle_us=idle_us),
        )
