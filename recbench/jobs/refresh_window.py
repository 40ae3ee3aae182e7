"""All that a refresh reads: the release that it starts from, and what has come since."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.errors import ReleaseError
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.build import towers_for
from recbench.models.content import ItemContent
from recbench.models.two_tower import TwoTower
from recbench.refresh import Registry, Release
from recbench.refresh.facts import WindowFacts, window_facts
from recbench.refresh.judge import Judge
from recbench.refresh.notes import Notes
from recbench.refresh.state import LearnedState
from recbench.refresh.stored import read_state
from recbench.settings import Experiment
from recbench.tables.lake_log import LakeLog

__all__ = ["RefreshWindow"]

DAY_US = 86_400e6


@dataclass(eq=False)
class RefreshWindow:
    """Events since the parent's instant, beside the parent.

    Args:
        log: as of one version of the lake.
        registry: of the log's releases.
        parent: the release that the refresh starts from.
        to: microseconds since the epoch: events before it count.
        idle_days: items that nobody has clicked for so long are no longer recommended.
        say: told what goes on.
    """

    log: LakeLog
    registry: Registry
    parent: Release
    to: int
    idle_days: float
    say: Callable[[str], None] = field(default=lambda _: None)

    @cached_property
    def experiment(self) -> Experiment:
        """The dials of the last full fit."""
        return Experiment.from_json(self.parent.manifest.settings)

    @property
    def state(self) -> LearnedState:
        """The parent's."""
        return self._of_parent[0]

    @property
    def notes(self) -> Notes:
        """The parent's."""
        return self._of_parent[1]

    @cached_property
    def events(self) -> pl.DataFrame:
        """In order of ``ts``."""
        return self.log.since(self.state.at, until=self.to)

    @cached_property
    def n_before(self) -> int:
        """Events of the lake before the parent's instant, late ones among them."""
        return self.log.n_before(self.state.at)

    @cached_property
    def judge(self) -> Judge:
        """What sets exams to models of this log."""
        length = self.experiment.features.history_length
        return Judge(self.log.protocol, DEFAULT_WINDOW_FEATURES, length)

    def facts(self) -> WindowFacts:
        """What the window looks like."""
        return window_facts(
            self.events,
            start=self.state.at,
            end=max(self.to, self.state.at),
            items=self.state.items,
            n_late=max(0, self.n_before - self.notes.n_known),
        )

    def tombstones(self, state: LearnedState) -> npt.NDArray[np.int64]:
        """Item rows of ``state`` that are no longer recommended."""
        return state.tombstones(idle_us=self.idle_days * DAY_US)

    def past_of(self, users: pl.Series) -> pl.DataFrame:
        """Events of these users before the window."""
        return self.log.of_users(users.unique(), before=self.state.at)

    def state_of(self, release: str | None) -> LearnedState | None:
        """The state of an earlier release with the parent's catalogue; None where it is gone."""
        if release is None or release == self.parent.manifest.release:
            return None
        try:
            folder = self.registry.open(release).folder
        except ReleaseError:
            self.say(f"Release {release} is gone or damaged: nothing is compared with it")
            return None
        state, _ = read_state(folder, self.new_towers)
        return state.grown_to(self.log.items, self.state.items)

    def new_towers(self, content: ItemContent) -> TwoTower:
        """Towers as the last full fit had them, not yet trained."""
        return towers_for(content, self.experiment)

    @cached_property
    def _of_parent(self) -> tuple[LearnedState, Notes]:
        state, notes = read_state(self.parent.folder, self.new_towers)
        return state, Notes.from_json(notes)
