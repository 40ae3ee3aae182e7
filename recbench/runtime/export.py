"""Towers as files: safetensors of the weights, ONNX of the query tower, checked against torch."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from recbench.errors import ReleaseError
from recbench.index.exact import ExactIndex
from recbench.models.frozen import TwoTowerRecommender
from recbench.models.two_tower import TwoTower
from recbench.runtime.graphs import export_graph, patched_graph
from recbench.runtime.onnx import OnnxQueryTower
from recbench.runtime.parity import Parity, parity
from recbench.runtime.protocol import INPUTS
from recbench.runtime.torch import TorchQueryTower
from recbench.tables.queries import Queries

__all__ = [
    "LARGEST_DIFFERENCE",
    "export_query_tower",
    "onnx_parity",
    "patched_query_tower",
    "save_towers",
]

LARGEST_DIFFERENCE = 1e-4  # of one embedding value; values reach about 20
ITEMS = "encoded_items"


def export_query_tower(model: TwoTowerRecommender, path: Path) -> None:
    """Write the query tower as ONNX, batch and history length dynamic."""
    length = model.history_length
    n_window = _n_window_features(model)
    example = (
        torch.full((2, length), -1, dtype=torch.int64),
        torch.zeros((2, length)),
        torch.zeros((2, length)),
        torch.zeros((2, n_window)),
    )
    example[0][:, -1] = 0
    batch, long = torch.export.Dim("batch"), torch.export.Dim("length")
    export_graph(
        model.query_tower,
        example,
        path,
        inputs=INPUTS,
        output="query_embeddings",
        shapes=[*[{0: batch, 1: long}] * 3, {0: batch}],
    )


def patched_query_tower(previous: Path, model: TwoTowerRecommender, path: Path) -> bool:
    """Write the query tower as ``previous`` with the weights of ``model``: what a refresh needs.

    Returns whether the file could serve: it has every weight of the model by name, and all but the
    number of items as large as before. Otherwise nothing is written.

    Args:
        previous: an ONNX file of ``export_query_tower``, of the same architecture.
        model: as of now.
        path: what is written.
    """
    return patched_graph(previous, model.query_tower.state_dict(), path, growing={ITEMS})


def onnx_parity(model: TwoTowerRecommender, path: Path, queries: Queries) -> Parity:
    """ONNX Runtime against torch over real requests: by value, and by the lists they lead to.

    Raises:
        ReleaseError: a value differs by more than ``LARGEST_DIFFERENCE``.
    """
    measured = parity(
        TorchQueryTower(model.query_tower),
        OnnxQueryTower(path, n_items=len(model.items)),
        model.inputs(queries),  # type: ignore[arg-type]  # generic arrays
        ExactIndex(model.candidate_embeddings, model.hidden),
    )
    if measured.largest_difference > LARGEST_DIFFERENCE:
        raise ReleaseError(
            f"The exported query tower differs from torch by {measured.largest_difference:.2e}, "
            f"more than {LARGEST_DIFFERENCE:.0e}: nothing was released"
        )
    return measured


def save_towers(towers: TwoTower, folder: Path) -> None:
    """``query_tower.safetensors`` and ``candidate_tower.safetensors``; the latter has the items."""
    state = {name: tensor.contiguous() for name, tensor in towers.state_dict().items()}
    query = {name: tensor for name, tensor in state.items() if name.startswith("queries.")}
    save_file(query, folder / "query_tower.safetensors")
    candidate = {name: tensor for name, tensor in state.items() if name not in query}
    save_file(candidate, folder / "candidate_tower.safetensors")


def _n_window_features(model: TwoTowerRecommender) -> int:
    nobody = np.empty(0, dtype=np.int64)
    return int(model.window_features(nobody, nobody).shape[1])
