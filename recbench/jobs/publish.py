"""A trained two-tower as a release: exported, checked, bound, published."""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from recbench import __version__
from recbench import columns as c
from recbench.features.popularity import popularity_snapshots
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.build import FittedTwoTower
from recbench.refresh import Manifest, Registry, Release
from recbench.refresh.contents import write_contents
from recbench.runtime.export import export_query_tower, onnx_parity, save_towers
from recbench.settings import Experiment
from recbench.tables.log import EventLog

__all__ = ["Released", "make_release"]

PARITY_QUERIES = 1_000


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

    Raises:
        ReleaseError: the exported tower differs from torch.
    """
    half_lives = experiment.features.popularity_half_lives_s
    popularity = popularity_snapshots(
        fitted.log, _array(fitted.at), half_lives_s=[*half_lives, fitted.prior.half_life_s]
    )[0]
    names = [f"half_life_{s:.0f}_s" for s in half_lives] + ["prior"]
    with registry.draft() as draft:
        save_towers(fitted.towers, draft)
        export_query_tower(fitted.model, draft / "query_tower.onnx")
        users = fitted.log.users.ids
        asked = fitted.log.queries(users[:: max(1, len(users) // PARITY_QUERIES)], fitted.at)
        difference = onnx_parity(fitted.model, draft / "query_tower.onnx", asked)
        write_contents(
            draft,
            items=fitted.model.items,
            item_features=data.items,
            events=events,
            candidate_embeddings=fitted.model.candidate_embeddings,
            popularity={name: popularity[:, at] for at, name in enumerate(names)},
            window_features=DEFAULT_WINDOW_FEATURES,
            history_length=fitted.model.history_length,
            metrics=metrics,
        )
        manifest = Manifest(
            release="",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            data=data.name,
            protocol=data.protocol,
            watermark=str(events[c.TS].max()),
            lake_version=data.version,
            parent=registry.current(),
            gate={"verdict": "not gated", "reasons": ["there is no gate yet"]},
            metrics=metrics,
            settings=dataclasses.asdict(experiment) | {"steps": fitted.steps},
            parity={"largest_difference": difference, "n_queries": len(asked)},
            code={"version": __version__, "commit": commit},
        )
        return registry.seal(draft, manifest)


def _array(at: int) -> Any:
    import numpy as np

    return np.array([at])
