"""The exported query tower, run by ONNX Runtime."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError, ReleaseError
from recbench.runtime.profiles import QUERY_TOWER_PROFILE, Profile, free_inputs
from recbench.runtime.protocol import INPUTS, check_inputs, named

__all__ = ["INPUTS", "OnnxQueryTower", "Provider", "optimised"]

Provider = Literal["cpu", "cuda", "tensorrt"]
LARGE_BYTES = 1 << 16  # of a weight
NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class OnnxQueryTower:
    """Query embeddings from histories; one thread, which is fastest for one request."""

    def __init__(
        self,
        path: Path,
        *,
        n_items: int,
        provider: Provider = "cpu",
        profile: Profile = QUERY_TOWER_PROFILE,
        cache: Path | None = None,
        is_optimised: bool = False,
    ) -> None:
        """On the CPU unless another provider is named; never on another one than named.

        Args:
            path: an ONNX file.
            n_items: bounds the item rows that may be asked for.
            provider: what runs it.
            profile: the shapes that TensorRT builds engines for.
            cache: folder of TensorRT's engines and timings; default: built at every start.
            is_optimised: whether ``optimised`` wrote the file, so that nothing is left to do.

        Raises:
            ReleaseError: the file is no such tower.
            InputError: the provider is not installed here, or did not start.
        """
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as failures

        _require_installed(provider, onnxruntime.get_available_providers())
        options = _one_thread()
        if is_optimised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=_providers(provider, path, profile, cache)
            )
        except (failures.InvalidProtobuf, failures.NoSuchFile, failures.Fail) as error:
            raise ReleaseError(f"{path} is no ONNX model: {error}") from error
        if self._session.get_providers()[0] != NAMES[provider]:
            raise InputError(
                f"`provider={provider!r}` did not start, ONNX Runtime fell back to "
                f"{self._session.get_providers()}: its log says which library is missing"
            )
        names = [tensor.name for tensor in self._session.get_inputs()]
        if names != [name for name in INPUTS if name in names] or INPUTS[0] not in names:
            raise ReleaseError(f"{path} takes {names}, expected {INPUTS} or some of them")
        self.path = path
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
        arrays = (history_rows, history_age_s, history_watch_ratio, window_features)
        check_inputs(arrays, n_items=self.n_items)
        given = named(arrays)
        (embedded,) = self._session.run(None, {name: given[name] for name in self._names})
        result: npt.NDArray[np.float32] = embedded
        return result


def optimised(path: Path, target: Path) -> None:
    """Write the graph at ``path`` as ONNX Runtime runs it on the CPU of this kind of machine.

    Its large weights lie beside ``target`` in a file that is mapped: opening it takes a sixth of
    the time, and all processes that do so share them.
    """
    import onnxruntime

    options = _one_thread()
    options.log_severity_level = 3  # it warns that the result is for this kind of machine
    options.optimized_model_filepath = str(target)
    for name, value in {
        "optimized_model_external_initializers_file_name": f"{target.stem}.bin",
        "optimized_model_external_initializers_min_size_in_bytes": str(LARGE_BYTES),
    }.items():
        options.add_session_config_entry(f"session.{name}", value)
    onnxruntime.InferenceSession(path, options, providers=[NAMES["cpu"]])


def _one_thread() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _require_installed(provider: Provider, available: list[str]) -> None:
    if provider not in NAMES:
        raise InputError(f"`provider` must be one of {list(NAMES)}, got {provider!r}")
    if NAMES[provider] not in available:
        raise InputError(
            f"`provider={provider!r}` needs an ONNX Runtime with {NAMES[provider]}, this one has "
            f"{available}: pip install onnxruntime-gpu instead of onnxruntime"
        )


def _providers(provider: Provider, path: Path, profile: Profile, cache: Path | None) -> list[Any]:
    """What ONNX Runtime is told; TensorRT leaves to CUDA what it cannot build."""
    if provider != "tensorrt":
        return [NAMES[provider]]
    options = _profile_options(path, profile)
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        options |= {
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(cache),
        }
    return [(NAMES["tensorrt"], options), NAMES["cuda"]]


def _profile_options(path: Path, profile: Profile) -> dict[str, Any]:
    """``name:1x50`` lists of the shapes at each corner."""
    corners = {"least": "min", "usual": "opt", "most": "max"}
    inputs = free_inputs(path)
    return {
        f"trt_profile_{word}_shapes": ",".join(
            f"{name}:{'x'.join(map(str, profile.shape(dims, corner)))}"
            for name, dims in inputs.items()
        )
        for corner, word in corners.items()
    }
