import pytest

from recbench.jobs.lineage import lineage
from recbench.jobs.manifest import Manifest


@pytest.fixture
def job(tmp_path, monkeypatch):
    """The folder of a job that this process belongs to."""
    folder = tmp_path / "20260101T000000Z-pipeline-111111"
    folder.mkdir()
    monkeypatch.setenv("RECBENCH_RUN_DIR", str(folder))
    return folder


def test_a_run_that_nothing_started_leads_its_own_group(monkeypatch):
    monkeypatch.delenv("RECBENCH_RUN_DIR", raising=False)

    assert lineage("r") == {"parent": None, "group": "r"}


@pytest.mark.parametrize(("group", "expected"), [("top", "top"), ("", "pipeline-111111")])
def test_a_run_started_within_a_job_belongs_to_that_jobs_group(job, group, expected):
    fields = {"notebook": "n", "notebook_sha256": "0", "parameters": {}}
    Manifest(run=job.name, group=group, **fields).write(job)

    found = lineage("r")

    assert found["parent"] == job.name
    assert found["group"].endswith(expected)


def test_a_parent_that_cannot_be_read_still_is_the_parent(job):
    (job / "manifest.json").write_text("{")

    assert lineage("r") == {"parent": job.name, "group": job.name}
