"""The towers of a release as ONNX: each measured, left out where it does not do, patched later."""

from dataclasses import replace

import numpy as np
import pytest

from recbench.errors import InputError, ReleaseError
from recbench.jobs import exports as module
from recbench.jobs.learned import learned_state
from recbench.jobs.publish import make_release
from recbench.jobs.study import experiment
from recbench.refresh import Registry
from recbench.refresh.released_tower import released_tower
from recbench.runtime import tensorrt_check
from recbench.runtime.onnx import OnnxQueryTower
from recbench.runtime.tensorrt_check import Finding
from recbench.serving.served_release import ServedRelease
from recbench.settings import ExportSettings


@pytest.fixture
def older(tiny_release):
    """The release as it was made before manifests told of exports."""
    return replace(tiny_release, manifest=replace(tiny_release.manifest, exports={}))


@pytest.fixture(scope="module")
def state(tiny_fit, tiny_data, tiny_experiment):
    return learned_state(tiny_fit, tiny_data, experiment=tiny_experiment)


@pytest.fixture
def asked(tiny_fit):
    return tiny_fit.log.queries(tiny_fit.log.users.ids, tiny_fit.at)


def test_the_manifest_says_of_every_tower_what_was_measured(tiny_release):
    told = tiny_release.manifest.exports
    assert {tower: list(held) for tower, held in told.items()} == {
        "query_tower": ["fp32", "fp16", "int8"],
        "candidate_tower": ["fp32"],
    }
    for one in (*told["query_tower"].values(), *told["candidate_tower"].values()):
        assert one["bytes"] == tiny_release.manifest.files[one["file"]]["bytes"]
        assert one["opset"] == 20
        assert one["worst_overlap"] <= one["overlap"] <= 1
        assert one["overlap"] >= 0.97
        assert one["k"] == 20
        assert one["tensorrt_static_check"] == "10.15"
    fp32, fp16, int8 = told["query_tower"].values()
    differences = [one["largest_difference"] for one in (fp32, fp16, int8)]
    assert differences == sorted(differences)
    assert differences[0] < 1e-5 < differences[1] < 2e-3
    assert tiny_release.manifest.parity["largest_difference"] == fp32["largest_difference"]


def test_a_smaller_tower_is_compared_on_requests_that_did_not_scale_it(tiny_fit, asked):
    inputs = tiny_fit.model.inputs(asked)
    scaled_by, compared_on = module._shared_out(inputs)
    assert len(scaled_by[0]) == len(compared_on[0]) == 30
    ages = [set(map(bytes, part[1])) for part in (scaled_by, compared_on)]
    assert not ages[0] & ages[1]
    one = tuple(part[:1] for part in inputs)
    assert [len(part[0]) for part in module._shared_out(one)] == [1, 1]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_precision_of_a_release_is_served(tiny_release, precision):
    served = ServedRelease.load(tiny_release, precision=precision)
    served.warm()
    rows = np.zeros((1, 4), dtype=np.int64)
    zeros = np.zeros((1, 4), dtype=np.float32)
    window = np.zeros((1, len(served.window_names)), dtype=np.float32)
    graph = released_tower(tiny_release, precision)
    expected = OnnxQueryTower(graph, n_items=len(served.items))(rows, zeros, zeros, window)
    np.testing.assert_array_equal(served.tower(rows, zeros, zeros, window), expected)


def written(draft, tiny_fit, asked, **options):
    settings = options.pop("settings", ExportSettings())
    exports = module.Exports(draft=draft, settings=settings, **options)
    return exports.query_towers(tiny_fit.model, asked)[1]


def test_a_precision_below_the_bound_is_left_out_with_the_reason(
    tiny_release, tmp_path, tiny_fit, asked, monkeypatch
):
    def spoiled(source, path, histories):
        rest(source, path, histories)
        model = module.onnx.load(path)
        for held in model.graph.initializer:
            if held.name.endswith("_scale") and "weight" in held.name:
                values = module.onnx.numpy_helper.to_array(held)
                turned = values * np.where(np.arange(values.size) % 2, 1, -1).reshape(values.shape)
                held.CopyFrom(
                    module.onnx.numpy_helper.from_array(turned.astype(values.dtype), held.name)
                )
        module.onnx.save(model, path)

    rest = module.as_int8
    monkeypatch.setattr(module, "as_int8", spoiled)
    told = written(tmp_path, tiny_fit, asked, parent=tiny_release)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "query_tower.onnx",
        "query_tower_fp16.onnx",
    ]
    left = told["int8"]
    assert left["file"] is None
    assert left["overlap"] < 0.97
    assert left["left_out"] == (f"its overlap@20 with torch is {left['overlap']:.4f}, below 0.97")
    assert "tensorrt_static_check" not in left


def test_a_precision_that_tensorrt_could_not_build_is_left_out(
    older, tmp_path, tiny_fit, asked, monkeypatch
):
    finding = Finding("operator", "Blur", "is not supported (1 nodes)")
    monkeypatch.setattr(
        module, "tensorrt_findings", lambda path: [finding] if "fp16" in path.name else []
    )
    only = ExportSettings(precisions=("fp16",))
    told = written(tmp_path, tiny_fit, asked, settings=only, parent=older)
    assert told["fp16"]["left_out"] == (
        "TensorRT 10.15 could not build it: Blur: is not supported (1 nodes)"
    )
    assert not (tmp_path / "query_tower_fp16.onnx").exists()


def test_a_graph_that_tensorrt_could_not_build_is_not_released(
    tiny_fit, tiny_data, tiny_experiment, tmp_path, monkeypatch
):
    found = Finding("operator", "Fancy", "is not supported (1 nodes)")
    monkeypatch.setattr(tensorrt_check, "tensorrt_findings", lambda *_: [found])
    registry = Registry(tmp_path / "registry")
    with pytest.raises(ReleaseError, match="operator at Fancy: is not supported"):
        make_release(
            tiny_fit,
            tiny_data,
            tiny_data.events,
            registry=registry,
            experiment=tiny_experiment,
            metrics={},
        )
    assert registry.releases() == []


def test_a_refresh_exports_and_checks_nothing_anew(
    tiny_release, tmp_path, tiny_fit, state, asked, monkeypatch
):
    for name in (
        "export_query_tower",
        "export_candidate_tower",
        "tensorrt_findings",
        "require_tensorrt",
    ):
        monkeypatch.setattr(module, name, None)
    told = written(tmp_path, tiny_fit, asked, parent=tiny_release)
    assert list(told) == ["fp32", "fp16", "int8"]
    exports = module.Exports(draft=tmp_path, settings=ExportSettings(), parent=tiny_release)
    candidate = exports.candidate_tower(tiny_fit.model, state, asked)["fp32"]
    assert candidate["largest_difference"] < 1e-5
    inputs, n_items = tiny_fit.model.inputs(asked), len(tiny_fit.model.items)
    for name in ("query_tower.onnx", "query_tower_fp16.onnx"):
        ours, before = (
            OnnxQueryTower(folder / name, n_items=n_items)(*inputs)
            for folder in (tmp_path, tiny_release.folder)
        )
        np.testing.assert_array_equal(ours, before)  # the weights are the same, too


def test_the_graph_of_a_release_that_was_not_checked_is_checked(
    older, tmp_path, tiny_fit, asked, monkeypatch
):
    looked_at = []
    monkeypatch.setattr(module, "tensorrt_findings", lambda path: looked_at.append(path.name) or [])
    monkeypatch.setattr(module, "export_query_tower", None)
    written(tmp_path, tiny_fit, asked, parent=older)
    assert looked_at == ["query_tower.onnx", "query_tower_fp16.onnx", "query_tower_int8.onnx"]


def test_a_candidate_tower_unlike_torch_is_not_released(
    tiny_release, tmp_path, tiny_fit, state, asked, monkeypatch
):
    monkeypatch.setattr(module, "LARGEST_DIFFERENCE", -1.0)
    exports = module.Exports(draft=tmp_path, settings=ExportSettings(), parent=tiny_release)
    with pytest.raises(ReleaseError, match="candidate tower differs from torch by .*e-0"):
        exports.candidate_tower(tiny_fit.model, state, asked)


def test_which_precisions_there_are_is_a_dial():
    assert experiment(seed=0, precisions=["fp16"]).export == ExportSettings(precisions=("fp16",))
    with pytest.raises(InputError, match=r"`precisions` must be one of .*, got 'fp8'"):
        ExportSettings(precisions=("fp8",))
    with pytest.raises(InputError, match=r"`least_overlap` must lie in \[0, 1\], got 97"):
        ExportSettings(least_overlap=97)
