"""Towers as files: safetensors of the weights, ONNX of the query tower, checked against torch."""

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from recbench.errors import ReleaseError
from recbench.models.frozen import TwoTowerRecommender
from recbench.models.two_tower import TwoTower
from recbench.runtime.onnx import INPUTS, OnnxQueryTower
from recbench.tables.queries import Queries

__all__ = ["LARGEST_DIFFERENCE", "export_query_tower", "onnx_parity", "save_towers"]

LARGEST_DIFFERENCE = 1e-4  # of one embedding value; values reach about 20
OPSET = 20


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
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            model.query_tower,
            example,
            path,
            input_names=INPUTS,
            output_names=["query_embeddings"],
            dynamic_shapes=(*[{0: batch, 1: long}] * 3, {0: batch}),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def onnx_parity(model: TwoTowerRecommender, path: Path, queries: Queries) -> float:
    """The largest absolute difference between ONNX Runtime and torch over real requests.

    Raises:
        ReleaseError: it is larger than ``LARGEST_DIFFERENCE``.
    """
    tower = OnnxQueryTower(path, n_items=len(model.items))
    largest = 0.0
    for at in range(0, len(queries), 512):
        batch = queries.take(slice(at, at + 512))
        exported = tower(*model.inputs(batch))  # type: ignore[arg-type]  # generic arrays
        difference = np.abs(exported - model.query_embeddings(batch))
        largest = max(largest, float(difference.max(initial=0.0)))
    if largest > LARGEST_DIFFERENCE:
        raise ReleaseError(
            f"The exported query tower differs from torch by {largest:.2e}, more than "
            f"{LARGEST_DIFFERENCE:.0e}: nothing was released"
        )
    return largest


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
