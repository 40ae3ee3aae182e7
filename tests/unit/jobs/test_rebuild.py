"""A full fit as a job: made where there is no release, and again where small steps fail."""

import shutil

import pytest

from recbench.datasets import in_lake
from recbench.errors import ReleaseError
from recbench.jobs.rebuild import first_release, rebuild
from recbench.jobs.refresh import Refresh
from recbench.refresh import Registry
from recbench.refresh.gate import Limits
from recbench.runtime import tensorrt_check
from recbench.serving import ReleasedRecommender
from recbench.settings import RefreshSettings


@pytest.fixture(scope="module")
def log(tiny_events, tiny_items, tmp_path_factory):
    """In a lake whose folder has no registry."""
    folder = tmp_path_factory.mktemp("log")
    tiny_events.write_parquet(folder / "tiny.events.parquet")
    tiny_items.write_parquet(folder / "tiny.items.parquet")
    return in_lake(folder / "tiny.events.parquet", workspace=folder / "workspace")


@pytest.fixture(scope="module")
def workspace_of_first(log, tiny_experiment, tmp_path_factory):
    """A workspace with the first release of the log; not to be changed."""
    workspace = tmp_path_factory.mktemp("first") / "workspace"
    first_release(log, workspace=workspace, share=0.9, experiment=tiny_experiment)
    return workspace


@pytest.fixture
def started(workspace_of_first):
    """The first release."""
    return Registry(workspace_of_first / "registry").open()


def test_a_release_that_is_there_is_not_made_again(log, started, workspace_of_first):
    again = first_release(log, workspace=workspace_of_first, share=0.5)
    assert again.manifest.release == started.manifest.release


def test_a_worn_out_model_is_fitted_anew_on_all_that_is_known(
    log, started, workspace_of_first, tmp_path
):
    workspace = shutil.copytree(workspace_of_first, tmp_path / "workspace")
    refresh = Refresh.of(
        log,
        workspace=workspace,
        settings=RefreshSettings(steps=2),
        limits=Limits(grown_share=-1.0, fewest_decided=1_000),
    )
    outcome = refresh.run()
    assert outcome.decision == "full rebuild"
    assert outcome.current == started.manifest.release

    refresh.limits = Limits(fewest_decided=1_000)  # a new fit has not grown
    rebuilt = rebuild(refresh)
    registry = Registry(workspace / "registry")
    manifest = registry.open().manifest
    assert rebuilt.release == rebuilt.current == manifest.release
    assert manifest.settings["rebuilt_after"] == started.manifest.release
    assert manifest.fit == manifest.release  # towers of its own
    served = ReleasedRecommender.load(registry.open())
    assert len(served.log.ts) == len(log.whole().events)
    # the next refresh starts from it, and finds nothing new
    later = Refresh.of(log, workspace=workspace, settings=RefreshSettings(steps=2))
    assert later.parent.manifest.release == rebuilt.release
    assert later.is_empty


def test_a_graph_that_tensorrt_could_not_build_is_not_released(
    log, tiny_experiment, tmp_path, monkeypatch
):
    found = tensorrt_check.Finding("operator", "Fancy", "is not supported (1 nodes)")
    monkeypatch.setattr(tensorrt_check, "tensorrt_findings", lambda *_: [found])
    workspace = tmp_path / "workspace"
    with pytest.raises(ReleaseError, match="operator at Fancy: is not supported"):
        first_release(log, workspace=workspace, share=0.9, experiment=tiny_experiment)
    assert Registry(workspace / "registry").current() is None
