"""A ranker's network as ONNX: written from torch, and run by ONNX Runtime."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recbench.errors import ReleaseError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["OnnxRanker", "export_ranker"]

INPUT, OUTPUT = "features", "scores"
LARGEST_DIFFERENCE = 1e-3  # of one score; scores differ by about 1 within a list
EXAMPLES = 64  # lists that both are asked for


class OnnxRanker:
    """Scores of candidates from their features; one thread."""

    def __init__(self, path: Path) -> None:
        """From an ONNX file.

        Raises:
            ReleaseError: the file is no such network.
        """
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as failures

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except (failures.InvalidProtobuf, failures.NoSuchFile, failures.Fail) as error:
            raise ReleaseError(f"{path} is no ONNX model: {error}") from error
        names = [tensor.name for tensor in self._session.get_inputs()]
        if names != [INPUT]:
            raise ReleaseError(f"{path} takes {names}, expected {[INPUT]}")
        self.path = path

    def __call__(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(Q, C, F) -> (Q, C)."""
        (scores,) = self._session.run(None, {INPUT: features})
        found: npt.NDArray[np.float32] = scores
        return found


def export_ranker(network: "nn.Module", path: Path, *, n_features: int) -> float:
    """Write it, queries and candidates free; returns the largest difference from torch.

    Args:
        network: (Q, C, F) -> (Q, C), in evaluation mode.
        path: what is written.
        n_features: F.

    Raises:
        ReleaseError: ONNX Runtime scores otherwise than torch.
    """
    import torch

    from recbench.runtime.graphs import export_graph

    lists, candidates = torch.export.Dim("lists"), torch.export.Dim("candidates")
    export_graph(
        network,
        (torch.zeros((2, 3, n_features)),),
        path,
        inputs=[INPUT],
        output=OUTPUT,
        shapes=[{0: lists, 1: candidates}],
    )
    random = np.random.default_rng(0)
    asked = random.normal(scale=3.0, size=(EXAMPLES, 7, n_features)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(asked)).numpy()
    worst = float(np.abs(OnnxRanker(path)(asked) - expected).max())
    if not worst <= LARGEST_DIFFERENCE:
        raise ReleaseError(
            f"The exported ranker differs from torch by {worst:.2g}, at most "
            f"{LARGEST_DIFFERENCE:g} is allowed"
        )
    return worst
