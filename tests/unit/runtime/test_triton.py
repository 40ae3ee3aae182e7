"""A fused graph lists what tower and index list; Triton's own schema reads the repository."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from recbench.errors import InputError
from recbench.index import ExactIndex
from recbench.runtime.fused import LISTED, export_fused
from recbench.runtime.onnx import OnnxQueryTower
from recbench.runtime.precision import as_half
from recbench.runtime.profiles import Profile, Range
from recbench.runtime.protocol import named
from recbench.runtime.tensorrt_check import tensorrt_findings
from recbench.runtime.triton import add_triton_version

K = 12
SMALL = Profile({"batch": Range(1, 2, 4), "length": Range(1, 5, 9)})


@pytest.fixture(scope="module")
def requests(tiny_fit, asked):
    return tiny_fit.model.inputs(asked)


@pytest.fixture
def fuse(tiny_fit, exported, tmp_path):
    def write(*, repeats=False, hidden=(), k=K, tower=exported):
        path = tmp_path / "fused.onnx"
        export_fused(
            tower,
            path,
            item_ids=tiny_fit.model.items.ids,
            candidate_embeddings=tiny_fit.model.candidate_embeddings,
            hidden=np.array(hidden, dtype=np.int64),
            k=k,
            repeats=repeats,
        )
        return path

    return write


def run(path, requests):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    taken = {value.name for value in session.get_inputs()}
    given = {name: part for name, part in named(requests).items() if name in taken}
    return session.run(LISTED, given)


def listed(tiny_fit, exported, requests, *, hidden, repeats, k):
    model = tiny_fit.model
    tower = OnnxQueryTower(exported, n_items=len(model.items))
    query, place = np.nonzero(requests[0] >= 0)
    seen = None if repeats else (query, requests[0][query, place])
    index = ExactIndex(model.candidate_embeddings, np.array(hidden, dtype=np.int64))
    rows, scores = index.search(tower(*requests), k=k, excluded=seen)
    return np.append(model.items.ids, -1)[rows], scores


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("k", [K, 40])  # 40: all there are, so lists run out
def test_a_fused_graph_lists_what_tower_and_index_list(
    fuse, tiny_fit, exported, requests, repeats, k
):
    options = {"hidden": [0, 7, 39], "repeats": repeats, "k": k}
    ids, scores = run(fuse(**options), requests)
    expected_ids, expected = listed(tiny_fit, exported, requests, **options)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    assert (ids == expected_ids).mean() > 0.99  # neighbours of nearly equal score may change places
    assert ((ids == -1) == (expected_ids == -1)).all()


def test_tensorrt_has_nothing_against_a_fused_graph(fuse, exported, tmp_path):
    assert tensorrt_findings(fuse(), SMALL) == []
    as_half(exported, tmp_path / "half.onnx")
    assert tensorrt_findings(fuse(tower=tmp_path / "half.onnx"), SMALL) == []


@pytest.mark.parametrize("k", [0, 41])
def test_lists_that_no_catalogue_fills_are_refused(fuse, k):
    with pytest.raises(InputError, match=f"`k` must be from 1 to 40, got {k}"):
        fuse(k=k)


@pytest.fixture(scope="module")
def model_config():
    """Triton's message, as its client ships it; the client's package itself wants grpc."""
    package = importlib.util.find_spec("tritonclient")
    if package is None:
        pytest.skip("tritonclient is not installed")
    path = Path(next(iter(package.submodule_search_locations))) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_repository_is_as_triton_wants_it(fuse, model_config, tmp_path):
    from google.protobuf import text_format

    graph, repository = fuse(), tmp_path / "models"
    folder = add_triton_version(repository, "recommend", graph, version=3)
    assert folder == repository / "recommend" / "3"
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]
    assert (folder / "model.onnx").read_bytes() == graph.read_bytes()
    text = (repository / "recommend" / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config.ModelConfig())
    assert (config.name, config.platform) == ("recommend", "onnxruntime_onnx")
    assert config.max_batch_size == 64
    assert config.version_policy.latest.num_versions == 2
    assert config.instance_group[0].kind == model_config.ModelInstanceGroup.KIND_GPU
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    held = onnx.load(graph).graph
    assert [each.name for each in config.input] == [each.name for each in held.input]
    types = {each.name: model_config.DataType.Name(each.data_type) for each in config.input}
    assert types["history_rows"] == "TYPE_INT64"
    assert types["history_age_s"] == "TYPE_FP32"
    assert {each.name: list(each.dims) for each in config.input}["history_rows"] == [-1]
    assert {each.name: list(each.dims) for each in config.output} == {
        "item_ids": [K],
        "scores": [K],
    }


def test_a_tensorrt_engine_is_a_plan(fuse, model_config, tmp_path):
    from google.protobuf import text_format

    engine = tmp_path / "engine"
    engine.write_bytes(b"an engine")
    folder = add_triton_version(
        tmp_path / "models",
        "recommend",
        fuse(),
        version=1,
        platform="tensorrt_plan",
        engine=engine,
    )
    assert (folder / "model.plan").read_bytes() == b"an engine"
    text = (tmp_path / "models" / "recommend" / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config.ModelConfig())
    assert config.platform == "tensorrt_plan"
    assert not config.parameters


def test_versions_stand_beside_each_other(fuse, tmp_path):
    for version in (1, 2):
        add_triton_version(tmp_path / "models", "recommend", fuse(), version=version, device="cpu")
    names = {path.name for path in (tmp_path / "models" / "recommend").iterdir()}
    assert names == {"1", "2", "config.pbtxt"}
    with pytest.raises(InputError, match="new and from 1, got 2 of 'recommend'"):
        add_triton_version(tmp_path / "models", "recommend", fuse(), version=2)
    with pytest.raises(InputError, match="of all of them: add this one under another name"):
        add_triton_version(tmp_path / "models", "recommend", fuse(k=5), version=3, device="cpu")
    assert {path.name for path in (tmp_path / "models" / "recommend").iterdir()} == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"platform": "pytorch"}, "got 'pytorch'"),
        ({"platform": "tensorrt_plan"}, "only that, got 'tensorrt_plan'"),
        ({"engine": Path("engine")}, "only that, got 'onnxruntime_onnx'"),
        ({"version": 0}, "new and from 1, got 0"),
        ({"largest_batch": 0}, "at least 1, got 0"),
    ],
)
def test_what_triton_could_not_load_is_refused(fuse, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        add_triton_version(tmp_path / "models", "recommend", fuse(), **{"version": 1} | options)
    assert not (tmp_path / "models").exists()
