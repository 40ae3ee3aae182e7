"""A refresh's candidate as files: written into a draft, checked there, and described."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recbench import __version__
from recbench import columns as c
from recbench.features.batch import window_lookup
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.publish import GRAPH, PARITY_QUERIES, bind
from recbench.models.content import ItemContent
from recbench.models.frozen import Rows
from recbench.models.two_tower import TwoTower
from recbench.refresh import Manifest, Release
from recbench.refresh.advance import EventsOf
from recbench.refresh.gate import Measured, Verdict
from recbench.refresh.judge import recommender_of
from recbench.refresh.notes import Notes
from recbench.refresh.state import LearnedState
from recbench.refresh.verify import broken_parts
from recbench.runtime.onnx import OnnxQueryTower
from recbench.settings import ExportSettings, RefreshSettings
from recbench.tables.lake_log import LakeLog, as_instant
from recbench.tables.queries import InteractionLog, Queries

__all__ = ["Candidate"]

LATENCY_REQUESTS = 50


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """What a refresh has learned, on its way to a release."""

    log: LakeLog
    parent: Release
    state: LearnedState
    events: pl.DataFrame  # the window's
    past: EventsOf  # gives the events of users before the window
    hidden: Rows  # item rows that it does not recommend
    settings: RefreshSettings
    history_length: int  # L
    export: ExportSettings
    new_towers: Callable[[ItemContent], TwoTower]

    def write(self, draft: Path, notes: Notes) -> dict[str, Any]:
        """All files but the manifest; returns what ``bind`` says of them.

        Args:
            draft: of the registry.
            notes: for the next refresh.

        Raises:
            ReleaseError: an exported tower differs from torch.
        """
        state, (asked, events) = self.state, self._asked
        earlier, since = self._remembered()
        model = recommender_of(
            state.towers,
            state.items,
            state.popularity,
            window_lookup(events, DEFAULT_WINDOW_FEATURES),
            history_length=self.history_length,
            hidden=self.hidden,
        )
        return bind(
            draft,
            state,
            model,
            item_features=self.log.items,
            events=since,
            notes=notes,
            metrics=self.parent.manifest.metrics,
            asked=asked,
            export=self.export,
            earlier=earlier,
            parent=self.parent,
        )

    def measured(self, draft: Path) -> dict[str, Any]:
        """``broken``, ``latency_ms`` and ``size_ratio``: what can only be measured of files."""
        asked, events = self._asked
        broken = broken_parts(
            draft,
            parent=self.parent.folder,
            new_towers=self.new_towers,
            exported=lambda folder, n: OnnxQueryTower(folder / GRAPH, n_items=n),
            asked=asked,
            events=events,
            history_length=self.history_length,
        )
        held = {path.name: path.stat().st_size for path in draft.iterdir()}
        both = {name for name in self.parent.manifest.files if name in held}
        size = sum(held[name] for name in both)
        before = sum(self.parent.manifest.files[name]["bytes"] for name in both)
        return {
            "broken": tuple(broken),
            "latency_ms": self._latency_ms(draft / GRAPH),
            "size_ratio": size / before,
        }

    def manifest(
        self,
        *,
        key: str,
        created: str,
        bound: dict[str, Any],
        verdict: Verdict,
        measured: Measured,
    ) -> Manifest:
        """What the release says of itself.

        Args:
            key: of the refresh.
            created: when the refresh first began, in ISO 8601.
            bound: what ``write`` returned.
            verdict: of the gate.
            measured: what it rests on.
        """
        parent = self.parent.manifest
        watermark = self.events[c.TS].max() if len(self.events) else parent.watermark
        own = {"key": key, "number": self.state.number, "fit": parent.fit}
        refresh = own | dataclasses.asdict(self.settings)
        return Manifest(
            release="",
            created=created,
            data=self.log.name,
            protocol=self.log.protocol,
            watermark=str(watermark),
            lake_version=self.log.version,
            parent=parent.release,
            gate=verdict.to_json(),
            metrics=parent.metrics | {"refresh": measured.to_json()},
            settings=parent.settings | {"refresh": refresh},
            code={"version": __version__},
            **bound,
        )

    def _remembered(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The parent's, without users long gone; the window, with the past of who is back."""
        held = pl.read_parquet(self.parent.path("interactions.parquet"))
        here = self.events[c.USER_ID].unique()
        oldest = as_instant(self.state.at) - timedelta(days=self.settings.idle_days)
        stays = (pl.col(c.TS).max().over(c.USER_ID) >= oldest) | pl.col(c.USER_ID).is_in(
            here.implode()
        )
        back = here.filter(~here.is_in(held[c.USER_ID].unique().implode()))
        return held.filter(stays), pl.concat([self.past(back), self.events], how="diagonal")

    @cached_property
    def _asked(self) -> tuple[Queries, pl.DataFrame]:
        """Requests of the window's users as of now, and their events."""
        users = self.events[c.USER_ID].unique(maintain_order=True)[:PARITY_QUERIES]
        window = self.events.filter(pl.col(c.USER_ID).is_in(users.implode()))
        known = pl.concat([self.past(users), window], how="diagonal")
        log = InteractionLog.from_events(known, items=self.state.items)
        return log.queries(users, self.state.at), known

    def _latency_ms(self, graph: Path) -> float:
        """Median of one request with a full history."""
        tower = OnnxQueryTower(graph, n_items=len(self.state.items))
        length = self.history_length
        one = (
            np.zeros((1, length), dtype=np.int64),
            np.zeros((1, length), dtype=np.float32),
            np.zeros((1, length), dtype=np.float32),
            np.zeros((1, len(DEFAULT_WINDOW_FEATURES)), dtype=np.float32),
        )
        took = []
        for _ in range(LATENCY_REQUESTS):
            begun = time.perf_counter()
            tower(*one)
            took.append(time.perf_counter() - begun)
        return float(np.median(took)) * 1e3
