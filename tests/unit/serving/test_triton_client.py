"""Triton's own Python client against the service."""

import numpy as np
import pytest

from recbench.refresh import Registry

http = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")

NAME = "recommend"


@pytest.fixture(scope="module")
def registry(tmp_path_factory, served_toy):
    registry = Registry(tmp_path_factory.mktemp("triton") / "registry")
    registry.publish(served_toy.seal(registry).release.manifest.release)
    return registry


@pytest.fixture(scope="module")
def client(registry, served_toy):
    service = served_toy.RunningService(registry.path.parent).until_ready()
    with http.InferenceServerClient(f"127.0.0.1:{service.port}") as client:
        yield client
    assert service.stop() == 0, service.said


def tensor(name, values):
    array = np.array(values, dtype=np.int64)
    made = http.InferInput(name, array.shape, "INT64")
    return made, array


def inputs(binary, **tensors):
    made = [tensor(name, values) for name, values in tensors.items()]
    for one, array in made:
        one.set_data_from_numpy(array, binary_data=binary)
    return [one for one, _ in made]


def test_it_finds_a_server_with_one_model(client, registry):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(NAME)
    assert client.is_model_ready(NAME, registry.current())
    assert client.get_server_metadata()["name"] == "recbench"
    metadata = client.get_model_metadata(NAME)
    assert metadata["versions"] == [registry.current()]
    assert [one["name"] for one in metadata["inputs"]] == ["user_id", "history", "history_ts"]
    config = client.get_model_config(NAME)
    assert [one["data_type"] for one in config["output"]] == ["TYPE_INT64", "TYPE_FP32"]


@pytest.mark.parametrize("binary", [True, False])
def test_it_infers_lists_for_users(client, registry, binary):
    outputs = [http.InferRequestedOutput(n, binary_data=binary) for n in ("item_id", "score")]
    result = client.infer(
        NAME,
        inputs(binary, user_id=[1, 99]),
        outputs=outputs,
        request_id="mine",
        parameters={"k": 2},
    )
    assert result.as_numpy("item_id").tolist() == [[30, 40], [30, 40]]
    assert result.as_numpy("score").tolist() == [[4.0, 3.0], [2.0, 1.0]]
    response = result.get_response()
    assert (response["id"], response["model_version"]) == ("mine", registry.current())


def test_it_infers_lists_for_histories_with_all_defaults(client):
    hour_us = 3_600_000_000
    histories = inputs(True, history=[[-1, 40], [10, 20]], history_ts=[[0, hour_us], [2, 1]])
    result = client.infer(NAME, histories)
    # (4, 3, 2, 0) without 40; then (0, 5, 4, 3) without 10 and 20
    assert result.as_numpy("item_id").tolist() == [[10, 20, 30], [30, 40, -1]]
    assert result.as_numpy("score").tolist() == [[4.0, 3.0, 2.0], [4.0, 3.0, 0.0]]


def test_it_may_ask_for_one_output(client):
    only = [http.InferRequestedOutput("score")]
    result = client.infer(NAME, inputs(True, user_id=[2]), outputs=only)
    assert result.as_numpy("item_id") is None
    assert result.as_numpy("score").tolist() == [[9.0, 1.0, 1.0]]


def test_it_is_told_what_was_wrong(client):
    with pytest.raises(http.InferenceServerException, match="1 to 32 rows"):
        client.infer(NAME, inputs(True, user_id=list(range(33))))
    with pytest.raises(http.InferenceServerException, match="Not Found"):
        client.get_model_metadata("other")


def test_it_reads_the_statistics(client):
    (before,) = client.get_inference_statistics(NAME)["model_stats"]
    client.infer(NAME, inputs(False, user_id=[1]))
    (after,) = client.get_inference_statistics(NAME)["model_stats"]
    assert after["inference_count"] == before["inference_count"] + 1
