"""What runs by the clock asks for notebooks, parameters and options that there are."""

from pathlib import Path

import pytest

from recbench.cli.run import run
from recbench.cluster.kubernetes import KubernetesSettings
from recbench.cluster.kubernetes.jobs import rebuild_cron_job, refresh_cron_job
from recbench.jobs.parameters import parse_assignments
from recbench.jobs.run import notebook_parameters

ROOT = Path(__file__).resolve().parents[4]
SETTINGS = KubernetesSettings()


@pytest.fixture(params=[refresh_cron_job, rebuild_cron_job], ids=["refresh", "rebuild"])
def cron_job(request):
    return request.param(SETTINGS)


@pytest.fixture
def container(cron_job):
    (container,) = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return container


def test_it_runs_a_notebook_that_there_is_with_parameters_that_it_has(container):
    assert container["args"][:2] == ["recbench", "run"]
    asked = run.make_context("run", container["args"][2:]).params
    notebook = ROOT / "notebooks" / f"{asked['notebook']}.ipynb"
    values = parse_assignments(
        notebook_parameters(notebook), asked["assignments"], source=notebook.name
    )
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert values["data"] == "/workspace/lake/events/events"
    assert "/workspace" in mounts
    assert asked["where"] == SETTINGS.scheduler_address


def test_two_never_run_at_once_and_a_late_one_is_left_out(cron_job):
    spec = cron_job["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert 10 <= spec["startingDeadlineSeconds"] < 24 * 3600  # below ten a start is missed
    assert spec["timeZone"] == "Etc/UTC"
    assert spec["successfulJobsHistoryLimit"] >= 1
    assert spec["failedJobsHistoryLimit"] >= 1


def test_a_refresh_has_ended_before_the_next_begins():
    spec = refresh_cron_job(SETTINGS)["spec"]
    assert spec["schedule"] == "*/15 * * * *"
    job = spec["jobTemplate"]["spec"]
    assert spec["startingDeadlineSeconds"] + job["activeDeadlineSeconds"] <= 15 * 60


def test_a_lost_node_costs_no_try_and_refused_input_gets_no_second(cron_job):
    job = cron_job["spec"]["jobTemplate"]["spec"]
    refused, disrupted = job["podFailurePolicy"]["rules"]
    assert job["backoffLimit"] == 1
    assert refused == {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}}
    assert disrupted["action"] == "Ignore"
    # Kubernetes takes such a policy for pods that are not started again in place only
    assert job["template"]["spec"]["restartPolicy"] == "Never"


def test_a_refresh_leaves_full_rebuilds_to_the_night():
    (container,) = refresh_cron_job(SETTINGS)["spec"]["jobTemplate"]["spec"]["template"]["spec"][
        "containers"
    ]
    assert "full_rebuild=false" in container["args"]
