"""The exported query tower as a TensorRT engine: built, refitted, run.

Nothing here has run on a machine with TensorRT yet; `tensorrt_check` says beforehand what could not
be built. Engines belong to one TensorRT version and one kind of GPU.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError, ReleaseError
from recbench.files import whole_file
from recbench.runtime.profiles import QUERY_TOWER_PROFILE, Profile, free_inputs
from recbench.runtime.protocol import INPUTS, check_inputs, named

__all__ = ["TensorRTQueryTower", "build_engine"]

CORNERS = ("least", "usual", "most")


def build_engine(
    graph: Path,
    engine: Path,
    *,
    profile: Profile = QUERY_TOWER_PROFILE,
    timing_cache: Path | None = None,
) -> None:
    """Build ``engine`` of an exported graph; its weights can be refitted later.

    Types are those of the graph: for half precision or int8 give the graph that has them.

    Args:
        graph: an ONNX file.
        engine: what is written.
        profile: the shapes it is built for, and tuned at.
        timing_cache: what was measured of kernels, read if there and written: a second build of a
            like graph takes a fraction of the time.

    Raises:
        InputError: TensorRT is not installed here.
        ReleaseError: it cannot read or build the graph.
    """
    trt = _tensorrt()
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        errors = "; ".join(str(parser.get_error(at)) for at in range(parser.num_errors))
        raise ReleaseError(f"TensorRT {trt.__version__} does not read {graph}: {errors}")
    config = builder.create_builder_config()
    config.set_flag(trt.BuilderFlag.REFIT)
    held = timing_cache.read_bytes() if timing_cache and timing_cache.exists() else b""
    config.set_timing_cache(config.create_timing_cache(held), ignore_mismatch=False)
    shapes = builder.create_optimization_profile()
    for name, dims in free_inputs(graph).items():
        shapes.set_shape(name, *(profile.shape(dims, corner) for corner in CORNERS))
    config.add_optimization_profile(shapes)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ReleaseError(f"TensorRT {trt.__version__} does not build {graph}: its log says why")
    with whole_file(engine) as draft:
        draft.write_bytes(plan)
    if timing_cache is not None:
        with whole_file(timing_cache) as draft:
            draft.write_bytes(config.get_timing_cache().serialize())


class TensorRTQueryTower:
    """Query embeddings from histories on an NVIDIA GPU; one caller at a time."""

    def __init__(self, engine: Path, *, n_items: int) -> None:
        """``n_items`` bounds the item rows that may be asked for.

        Raises:
            InputError: TensorRT is not installed here.
            ReleaseError: the engine is of another version or GPU, or damaged.
        """
        trt = _tensorrt()
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._engine = trt.Runtime(self._logger).deserialize_cuda_engine(engine.read_bytes())
        if self._engine is None:
            raise ReleaseError(
                f"TensorRT {trt.__version__} cannot load {engine}: build it again on this machine"
            )
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(at) for at in range(self._engine.num_io_tensors)]
        self._inputs = [name for name in INPUTS if name in names]
        (self._output,) = set(names) - set(INPUTS)
        self.n_items = n_items

    def refit(self, graph: Path) -> None:
        """Take the weights of a graph that is otherwise the same: no build, no new engine.

        Raises:
            ReleaseError: it is another graph, or has more items; build it anew.
        """
        trt = _tensorrt()
        refitter = trt.Refitter(self._engine, self._logger)
        parser = trt.OnnxParserRefitter(refitter, self._logger)
        if not (parser.refit_from_file(str(graph)) and refitter.refit_cuda_engine()):
            raise ReleaseError(f"{graph} does not fit this engine: build it anew")

    def __call__(
        self,
        history_rows: npt.NDArray[np.int64],
        history_age_s: npt.NDArray[np.float32],
        history_watch_ratio: npt.NDArray[np.float32],
        window_features: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """As `QueryTower` says; shapes lie within the profile of the build."""
        import torch

        arrays = (history_rows, history_age_s, history_watch_ratio, window_features)
        check_inputs(arrays, n_items=self.n_items)
        given = named(arrays)
        device = {
            name: torch.from_numpy(np.ascontiguousarray(given[name])).cuda()
            for name in self._inputs
        }
        for name, tensor in device.items():
            if not self._context.set_input_shape(name, tuple(tensor.shape)):
                raise InputError(f"{name} {tuple(tensor.shape)} is outside the engine's profile")
            self._context.set_tensor_address(name, tensor.data_ptr())
        shape = tuple(self._context.get_tensor_shape(self._output))
        answer = torch.empty(shape, dtype=torch.float32, device="cuda")
        self._context.set_tensor_address(self._output, answer.data_ptr())
        stream = torch.cuda.current_stream()
        if not self._context.execute_async_v3(stream.cuda_stream):
            raise ReleaseError("TensorRT could not run the engine: its log says why")
        stream.synchronize()
        embedded: npt.NDArray[np.float32] = answer.cpu().numpy()
        return embedded


def _tensorrt() -> Any:
    try:
        import tensorrt
    except ModuleNotFoundError as error:
        raise InputError(
            "A TensorRT engine needs tensorrt 10 and an NVIDIA GPU, and tensorrt is not installed "
            "here: pip install 'recbench[tensorrt]'. `runtime.tensorrt_check` tells without it "
            "what could not be built"
        ) from error
    return tensorrt
