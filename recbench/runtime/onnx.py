"""The exported query tower, run by ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError, ReleaseError

__all__ = ["OnnxQueryTower"]

INPUTS = ["history_rows", "history_age_s", "window_features"]


class OnnxQueryTower:
    """Query embeddings from histories; one thread, which is fastest for one request."""

    def __init__(self, path: Path, *, n_items: int) -> None:
        """``n_items`` bounds the item rows that may be asked for.

        Raises:
            ReleaseError: the file is no such tower.
        """
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as failures

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except (failures.InvalidProtobuf, failures.NoSuchFile, failures.Fail) as error:
            raise ReleaseError(f"{path} is no ONNX model: {error}") from error
        names = [tensor.name for tensor in self._session.get_inputs()]
        if names != INPUTS:
            raise ReleaseError(f"{path} takes {names}, expected {INPUTS}")
        self.n_items = n_items

    def __call__(
        self,
        history_rows: npt.NDArray[np.int64],
        history_age_s: npt.NDArray[np.float32],
        window_features: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """(B, L) rows with -1 where padded, (B, L) seconds, (B, W) -> (B, D).

        Raises:
            InputError: an item row outside the catalogue, or shapes that do not belong together.
        """
        if history_age_s.shape != history_rows.shape or len(window_features) != len(history_rows):
            raise InputError(
                f"Ages and window features must belong to histories {history_rows.shape}, got "
                f"{history_age_s.shape} and {window_features.shape}"
            )
        if history_rows.size and not -1 <= history_rows.min() <= history_rows.max() < self.n_items:
            raise InputError(
                f"Item rows must lie in [-1, {self.n_items}), got "
                f"{history_rows.min()} to {history_rows.max()}"
            )
        arrays = (history_rows, history_age_s, window_features)
        (embedded,) = self._session.run(None, dict(zip(INPUTS, arrays, strict=True)))
        result: npt.NDArray[np.float32] = embedded
        return result
