"""The towers of a release as ONNX, each measured against torch on the release's own requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from recbench.errors import ReleaseError
from recbench.index.exact import ExactIndex
from recbench.models.candidate_features import CandidateSnapshots
from recbench.models.frozen import TwoTowerRecommender
from recbench.refresh import Release
from recbench.refresh.released_tower import QUERY_TOWERS
from recbench.refresh.state import LearnedState
from recbench.runtime.candidates import (
    candidate_parity,
    export_candidate_tower,
    patched_candidate_tower,
)
from recbench.runtime.export import (
    LARGEST_DIFFERENCE,
    export_query_tower,
    onnx_parity,
    patched_query_tower,
)
from recbench.runtime.onnx import OnnxQueryTower
from recbench.runtime.parity import Parity, parity
from recbench.runtime.precision import as_half, as_int8
from recbench.runtime.profiles import Profile, Range
from recbench.runtime.protocol import TowerInputs
from recbench.runtime.tensorrt_check import checked_version, require_tensorrt, tensorrt_findings
from recbench.runtime.torch import TorchQueryTower
from recbench.settings import ExportSettings
from recbench.tables.queries import Queries

__all__ = ["CANDIDATE_TOWER", "Exports"]

CANDIDATE_TOWER = "candidate_tower.onnx"
CANDIDATE_PROFILE = Profile({"items": Range(1, 64, 4_096)})
CHECKED = "tensorrt_static_check"  # the version whose table has nothing against the graph
MEASURED_ON = 256  # requests that a smaller tower is compared on, and as many that it is scaled by
N_ITEMS, N_LISTS = 1_000, 100  # that the candidate tower is compared on


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """Writes a release's graphs into a draft; from those of a parent where they are the same."""

    draft: Path
    settings: ExportSettings
    parent: Release | None = None

    def query_towers(
        self, model: TwoTowerRecommender, asked: Queries
    ) -> tuple[Parity, dict[str, dict[str, Any]]]:
        """Parity in float32, and what is said of every precision.

        Raises:
            ReleaseError: in float32 it differs from torch, or could not be built by TensorRT.
        """
        whole = self.draft / QUERY_TOWERS["fp32"]
        known = self._known("query_tower")
        patched = self.parent is not None and patched_query_tower(
            self.parent.path(whole.name), model, whole
        )
        if not patched or (CHECKED not in known.get("fp32", {}) and tensorrt_findings(whole)):
            known = {}
            export_query_tower(model, whole)
            require_tensorrt(whole)
        measured = onnx_parity(model, whole, asked)
        told = {"fp32": _facts(whole, measured)}
        inputs: TowerInputs = model.inputs(asked)  # type: ignore[assignment]  # generic arrays
        for precision in self.settings.precisions:
            was_checked = CHECKED in known.get(precision, {})
            told[precision] = self._smaller(model, inputs, precision, was_checked=was_checked)
        return measured, told

    def _smaller(
        self, model: TwoTowerRecommender, inputs: TowerInputs, precision: str, *, was_checked: bool
    ) -> dict[str, Any]:
        """One more precision; where it does not do it is removed, and told why."""
        whole, path = (self.draft / QUERY_TOWERS[name] for name in ("fp32", precision))
        scaled_by, compared_on = _shared_out(inputs)
        if precision == "fp16":
            as_half(whole, path)
        else:
            as_int8(whole, path, scaled_by)
        measured = parity(
            TorchQueryTower(model.query_tower),
            OnnxQueryTower(path, n_items=len(model.items)),
            compared_on,
            ExactIndex(model.candidate_embeddings, model.hidden),
        )
        told, least = _facts(path, measured), self.settings.least_overlap
        found = [] if was_checked else tensorrt_findings(path)
        why = ""
        if measured.overlap < least:
            why = f"its overlap@{measured.k} with torch is {measured.overlap:.4f}, below {least}"
        elif found:
            first = f"{found[0].where}: {found[0].why}"
            why = f"TensorRT {checked_version()} could not build it: {first}"
        if why:
            path.unlink()
            del told[CHECKED]
            told |= {"file": None, "left_out": why}
        return told

    def candidate_tower(
        self, model: TwoTowerRecommender, state: LearnedState, asked: Queries
    ) -> dict[str, dict[str, Any]]:
        """What is said of the tower that embeds new items.

        Raises:
            ReleaseError: it differs from torch, or could not be built by TensorRT.
        """
        path, towers = self.draft / CANDIDATE_TOWER, state.towers
        if not (
            self._known("candidate_tower")
            and self.parent is not None
            and patched_candidate_tower(self.parent.path(path.name), towers, path)
        ):
            export_candidate_tower(towers, path)
            require_tensorrt(path, CANDIDATE_PROFILE)
        rows = np.unique(np.linspace(0, len(state.items) - 1, N_ITEMS).astype(np.int64))
        at = np.unique(np.linspace(0, len(asked) - 1, N_LISTS).astype(np.int64))
        popularity = state.popularity
        measured = candidate_parity(
            towers,
            path,
            CandidateSnapshots([popularity]).at(popularity.at, rows),
            model.query_embeddings(asked.take(at)),
            item_rows=rows,
        )
        if measured.largest_difference > LARGEST_DIFFERENCE:
            raise ReleaseError(
                "The exported candidate tower differs from torch by "
                f"{measured.largest_difference:.2e}, more than {LARGEST_DIFFERENCE:.0e}: nothing "
                "was released"
            )
        return {"fp32": _facts(path, measured) | {"n_items": len(rows)}}

    def _known(self, tower: str) -> Mapping[str, Any]:
        """What the parent says of a tower."""
        held = {} if self.parent is None else self.parent.manifest.exports
        known: Mapping[str, Any] = held.get(tower, {})
        return known


def _facts(path: Path, measured: Parity) -> dict[str, Any]:
    used = onnx.load(path, load_external_data=False).opset_import
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "opset": next(each.version for each in used if each.domain in {"", "ai.onnx"}),
        **measured.to_json(),
        CHECKED: checked_version(),
    }


def _shared_out(inputs: TowerInputs) -> tuple[TowerInputs, TowerInputs]:
    """Requests to scale by, and others to compare on; the same ones where there is only one."""
    n = len(inputs[0])
    at = np.unique(np.linspace(0, n - 1, 2 * MEASURED_ON).astype(np.int64))
    halves = (at[::2], at[1::2] if n > 1 else at)
    scaled_by, compared_on = (tuple(part[half] for part in inputs) for half in halves)
    return scaled_by, compared_on  # type: ignore[return-value]  # four arrays each
