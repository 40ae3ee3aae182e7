"""Schemathesis against the service's own OpenAPI document: whatever comes, no 500."""

import subprocess
import sys
from pathlib import Path

import pytest

from recbench.refresh import Registry

# 19.0 is an integer to JSON Schema and none to us, and that the tensors of one request have as many
# rows is more than a schema can say
BEYOND_THE_SCHEMA = "positive_data_acceptance"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory, served_toy):
    workspace = tmp_path_factory.mktemp("fuzzed")
    registry = Registry(workspace / "registry")
    registry.publish(served_toy.seal(registry).release.manifest.release)
    running = served_toy.RunningService(workspace, "--workers", "2").until_ready()
    yield running
    assert running.stop() == 0


def test_it_keeps_to_its_document(service, tmp_path):
    command = [str(Path(sys.executable).with_name("schemathesis")), "run"]
    command += [f"http://127.0.0.1:{service.port}/openapi.json", "--no-color"]
    command += ["--max-examples", "60", "--generation-deterministic", "--request-timeout", "30"]
    command += ["--exclude-checks", BEYOND_THE_SCHEMA]
    told = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, timeout=240, check=False
    )
    assert told.returncode == 0, told.stdout[-5000:] + told.stderr[-2000:]
    assert "Traceback" not in service.said
    assert service.metric('recbench_requests_total{route="recommend",status="500"}') == 0
