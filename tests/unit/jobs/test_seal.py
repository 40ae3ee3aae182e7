import dataclasses
import json

import pytest

from recbench.jobs.seal import makers, seal_release
from recbench.refresh import Manifest, Registry
from recbench.tracking import record

BARE = Manifest(
    release="",
    created="2026-01-01T00:00:00+00:00",
    data="tiny",
    protocol="masked",
    watermark="2026-01-01T00:00:00+00:00",
    lake_version=3,
    parent=None,
    gate={"verdict": "publish", "reasons": []},
    metrics={},
    settings={},
    parity={},
    code={"version": "0.1"},
)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """The folder of a job that this process belongs to, without W&B."""
    folder = tmp_path / "20260101T000000Z-train-111111"
    folder.mkdir()
    monkeypatch.setenv("RECBENCH_RUN_DIR", str(folder))
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    monkeypatch.setattr(record._Recorder, "_current", None)
    return folder


def seal(registry, **changes):
    with registry.draft() as draft:
        (draft / "weights").write_text("1")
        return seal_release(registry, draft, dataclasses.replace(BARE, **changes))


def test_release_and_run_name_each_other(tmp_path, job):
    registry = Registry(tmp_path / "registry")

    release = seal(registry)

    assert release.manifest.code == {"version": "0.1", "run": job.name}
    told = json.loads((job / "tracking.json").read_text())
    assert told["releases"] == {release.manifest.release: str(release.folder)}
    assert registry.open(release.manifest.release) == release  # the id belongs to what it binds


def test_outside_a_job_a_release_is_what_it_was(tmp_path, monkeypatch):
    monkeypatch.delenv("RECBENCH_RUN_DIR", raising=False)

    release = seal(Registry(tmp_path / "registry"))

    assert release.manifest.code == {"version": "0.1"}


def test_makers_are_told_of_every_release_and_none_of_a_damaged_one(tmp_path, job):
    registry = Registry(tmp_path / "registry")
    whole = seal(registry)
    damaged = seal(registry, lake_version=4)
    (damaged.folder / "manifest.json").write_text("{")

    assert makers(registry) == {
        whole.manifest.release: job.name,
        damaged.manifest.release: None,
    }


def test_an_empty_registry_has_no_makers(tmp_path):
    assert makers(Registry(tmp_path / "none")) == {}
