"""The exported query tower, run by ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError, ReleaseError

__all__ = ["OnnxQueryTower"]

INPUTS = ["history_rows", "history_age_s", "history_watch_ratio", "window_features"]


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
        if names != [name for name in INPUTS if name in names] or INPUTS[0] not in names:
            raise ReleaseError(f"{path} takes {names}, expected {INPUTS} or some of them")
        self._names = names  # what a tower does not look at is no input of it
        self.n_items = n_items

    def __call__(
        self,
        history_rows: npt.NDArray[np.int64],
        history_age_s: npt.NDArray[np.float32],
        history_watch_ratio: npt.NDArray[np.float32],
        window_features: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """(B, L) rows with -1 where padded, (B, L) seconds, (B, L) shares, (B, W) -> (B, D).

        Raises:
            InputError: an item row outside the catalogue, or shapes that do not belong together.
        """
        shapes = {history_rows.shape, history_age_s.shape, history_watch_ratio.shape}
        if len(shapes) > 1 or len(window_features) != len(history_rows):
            raise InputError(
                f"Ages, watched shares and window features must belong to histories "
                f"{history_rows.shape}, got {history_age_s.shape}, {history_watch_ratio.shape} and "
                f"{window_features.shape}"
            )
        if history_rows.size and not -1 <= history_rows.min() <= history_rows.max() < self.n_items:
            raise InputError(
                f"Item rows must lie in [-1, {self.n_items}), got "
                f"{history_rows.min()} to {history_rows.max()}"
            )
        arrays = (history_rows, history_age_s, history_watch_ratio, window_features)
        given = dict(zip(INPUTS, arrays, strict=True))
        (embedded,) = self._session.run(None, {name: given[name] for name in self._names})
        result: npt.NDArray[np.float32] = embedded
        return result
