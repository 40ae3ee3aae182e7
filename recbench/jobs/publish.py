"""A trained two-tower as a release: exported, checked, bound, published."""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from recbench import __version__
from recbench import columns as c
from recbench.errors import InputError
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.build import FittedTwoTower
from recbench.jobs.exports import Exports
from recbench.jobs.learned import learned_state, recent_facts
from recbench.jobs.seal import seal_release
from recbench.models.frozen import TwoTowerRecommender
from recbench.refresh import Manifest, Registry, Release
from recbench.refresh.contents import write_contents
from recbench.refresh.notes import Notes
from recbench.refresh.released_tower import QUERY_TOWERS
from recbench.refresh.state import LearnedState
from recbench.refresh.stored import write_state
from recbench.refresh.stored_index import write_index
from recbench.refresh.stored_ranker import write_ranker
from recbench.runtime.export import save_towers
from recbench.settings import Experiment, ExportSettings
from recbench.tables.log import EventLog
from recbench.tables.queries import Queries

if TYPE_CHECKING:
    from recbench.models.ranking.two_stage import TwoStage

__all__ = ["GRAPH", "PARITY_QUERIES", "Released", "bind", "make_release"]

PARITY_QUERIES = 1_000
GRAPH = QUERY_TOWERS["fp32"]


@dataclass(frozen=True, slots=True)
class Released:
    """A sealed release, and whether it is the current one."""

    release: Release
    published: bool

    def metrics(self) -> dict[str, Any]:
        """For the run's summary."""
        manifest = self.release.manifest
        return {
            "release": manifest.release,
            "published": self.published,
            "onnx_largest_difference": manifest.parity["largest_difference"],
        }

    def summary(self) -> pl.DataFrame:
        """The release in a few lines."""
        manifest = self.release.manifest
        facts = self.metrics() | {
            "watermark": manifest.watermark,
            "data": f"{manifest.data}, lake version {manifest.lake_version}",
            "parent": manifest.parent,
            "files": len(manifest.files),
            "bytes": sum(facts["bytes"] for facts in manifest.files.values()),
        }
        return pl.DataFrame({"fact": list(facts), "value": [str(v) for v in facts.values()]})


def make_release(
    fitted: FittedTwoTower,
    data: EventLog,
    events: pl.DataFrame,
    *,
    registry: Registry,
    experiment: Experiment,
    metrics: dict[str, Any],
    commit: str | None = None,
    gate: dict[str, Any] | None = None,
    ranker: "TwoStage | None" = None,
    **settings: Any,
) -> Release:
    """Export, check against torch on real requests, and seal; publishing is a step of its own.

    Args:
        fitted: the towers as of the watermark.
        data: where the events come from.
        events: what the release has seen.
        registry: where it goes.
        experiment: the dials it was made with.
        metrics: from the fit before any refit, labelled so.
        commit: of the code.
        gate: a verdict as JSON; default: that there was nothing to compare it with.
        ranker: as of the watermark, puts what is retrieved into order; default: none does.
        settings: what else the manifest is to say of how it was made.

    Raises:
        InputError: the ranker has another catalogue.
        ReleaseError: the exported tower or ranker differs from torch.
    """
    state = learned_state(fitted, data, experiment=experiment)
    notes = Notes(
        facts=recent_facts(events, end=fitted.at),
        n_known=len(events),
        n_items_full=len(state.items),
    )
    if ranker is not None and ranker.items != state.items:
        raise InputError(
            f"The ranker knows {ranker.items}, the release has {state.items}: learn it from the "
            "same events"
        )
    users = fitted.log.users.ids
    with registry.draft() as draft:
        bound = bind(
            draft,
            state,
            fitted.model,
            item_features=data.items,
            events=events,
            notes=notes,
            metrics=metrics,
            asked=fitted.log.queries(users[:: max(1, len(users) // PARITY_QUERIES)], fitted.at),
            export=experiment.export,
        )
        if ranker is not None:
            bound["parity"] |= {"ranker_largest_difference": write_ranker(draft, ranker)}
        manifest = Manifest(
            release="",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            data=data.name,
            protocol=data.protocol,
            watermark=str(events[c.TS].max()),
            lake_version=data.version,
            parent=registry.current(),
            gate=gate or {"verdict": "not gated", "reasons": ["a full fit: nothing to compare"]},
            metrics=metrics,
            settings=dataclasses.asdict(experiment) | {"steps": fitted.steps} | settings,
            code={"version": __version__, "commit": commit},
            **bound,
        )
        return seal_release(registry, draft, manifest)


def bind(
    draft: Path,
    state: LearnedState,
    model: TwoTowerRecommender,
    *,
    item_features: pl.DataFrame,
    events: pl.DataFrame,
    notes: Notes,
    metrics: dict[str, Any],
    asked: Queries,
    export: ExportSettings,
    earlier: pl.DataFrame | None = None,
    parent: Release | None = None,
) -> dict[str, Any]:
    """Write all files of a release but its manifest; returns its ``parity, exports, index``.

    Args:
        draft: of the registry.
        state: as of the release's instant.
        model: its towers, frozen.
        item_features: canonical items.
        events: what is to be remembered of the log, from where ``earlier`` ends.
        notes: for the next refresh.
        metrics: as in the manifest.
        asked: real requests to compare the exported towers and the index on.
        export: which towers, and how good they and the index must be.
        earlier: interactions of the release before.
        parent: the release before, whose graphs are given the new weights and whose index is kept,
            where that does; default: all is made anew.

    Raises:
        ReleaseError: an exported tower differs from torch, or could not be built by TensorRT.
    """
    save_towers(state.towers, draft)
    exports = Exports(draft=draft, settings=export, parent=parent)
    measured, query_towers = exports.query_towers(model, asked)
    candidate_towers = exports.candidate_tower(model, state, asked)
    popularity = state.popularity
    names = [f"half_life_{s:.0f}_s" for s in popularity.half_lives_s[:-1]] + ["prior"]
    write_contents(
        draft,
        items=state.items,
        item_features=item_features,
        events=events,
        candidate_embeddings=model.candidate_embeddings,
        popularity={name: popularity.values[:, at] for at, name in enumerate(names)},
        window_features=DEFAULT_WINDOW_FEATURES,
        history_length=model.history_length,
        metrics=metrics,
        tombstones=model.hidden,
        earlier=earlier,
    )
    write_state(draft, state, notes=notes.to_json())
    index = write_index(
        draft,
        model.candidate_embeddings,
        model.query_embeddings(asked),
        hidden=model.hidden,
        least_recall=export.least_recall,
        parent=parent,
    )
    return {
        "parity": measured.to_json(),
        "exports": {"query_tower": query_towers, "candidate_tower": candidate_towers},
        "index": index,
    }
