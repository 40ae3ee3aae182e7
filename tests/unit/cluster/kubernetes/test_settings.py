"""What Kubernetes would not take is refused before a manifest is made of it."""

import pytest

from recbench.cluster.kubernetes import KubernetesSettings
from recbench.errors import InputError


@pytest.mark.parametrize(
    ("dials", "says"),
    [
        ({"image": "recbench"}, "`image` needs a tag, got 'recbench'"),
        ({"image": "localhost:5000/recbench"}, "needs a tag, got 'localhost:5000/recbench'"),
        ({"image": ":1"}, "needs a tag, got ':1'"),
        ({"image": "recbench@sha256:ab"}, "not a digest, got 'recbench@sha256:ab'"),
        ({"namespace": "Recbench"}, "`namespace` must be lower case .* got 'Recbench'"),
        ({"name": "x" * 54}, "`name` must be .* at most 53"),
        ({"claim": "-x"}, "`claim` must be .* got '-x'"),
        ({"token_secret": ""}, "`token_secret` must be .* got ''"),
        ({"wandb_secret": "a_b"}, "`wandb_secret` must be .* got 'a_b'"),
        ({"worker_cpu": "four"}, "`worker_cpu` must be an amount such as 4 or 500m, got 'four'"),
        ({"worker_memory": "8GB"}, "`worker_memory` must be an amount such as 16Gi, got '8GB'"),
        ({"gpu_worker_cpu": "0"}, "`gpu_worker_cpu` must be an amount .* got '0'"),
        ({"storage": "100000"}, "`storage` must be an amount .* got '100000'"),
        ({"minimum": 3, "maximum": 2}, "1 <= minimum <= maximum, got 3 and 2"),
        ({"minimum": 0}, "1 <= minimum <= maximum, got 0 and 64"),
        ({"other_workers": -1}, "`other_workers` must be 0 or more, got -1"),
        ({"scaled": "tpu"}, "`scaled` must be cpu or gpu, got 'tpu'"),
        ({"rule": "guess"}, "`rule` must be deadlines or dask, got 'guess'"),
        ({"refresh": "every 15 minutes"}, "`refresh` must have 5 fields"),
        ({"refresh": "*/0 * * * *"}, "`refresh`: the minute must be 0 to 59, got '\\*/0'"),
        ({"rebuild": "0 24 * * *"}, "`rebuild`: the hour must be 0 to 23, got '24'"),
        ({"rebuild": "5-1 2 * * *"}, "the minute must be 0 to 59, got '5-1'"),
        ({"rebuild_deadline_s": 0}, "`rebuild_deadline_s` must be at least 1 second, got 0"),
        ({"time_zone": "Europe/Berlinn"}, "time zone such as Etc/UTC, got 'Europe/Berlinn'"),
        ({"table": "/etc"}, "`table` must lie below the workspace, got '/etc'"),
        ({"table": "lake/../../etc"}, "below the workspace, got 'lake/../../etc'"),
    ],
)
def test_what_kubernetes_would_not_take_is_refused(dials, says):
    with pytest.raises(InputError, match=says):
        KubernetesSettings(**dials)


@pytest.mark.parametrize(
    "dials",
    [
        {"refresh": "0,15,30-45/5 8-18 * 1,7 0-6"},
        {"worker_cpu": "1500m", "worker_memory": "512Mi"},
        {"worker_memory": "17179869184"},
        {"time_zone": "Europe/Berlin"},
        {"image": "registry.example:5000/team/recbench:1.2-rc1"},
    ],
)
def test_what_kubernetes_takes_is_taken(dials):
    KubernetesSettings(**dials)


def test_every_image_is_derived_from_one_name():
    settings = KubernetesSettings(image="registry.example:5000/team/recbench:1.2")
    assert settings.image_for("serve") == "registry.example:5000/team/recbench-serve:1.2"
    assert settings.image_for("gpu") == "registry.example:5000/team/recbench-gpu:1.2"


def test_latest_is_only_what_somebody_asked_for():
    assert not KubernetesSettings().image.endswith(":latest")
    assert KubernetesSettings(image="recbench:latest").image_for("jobs") == "recbench-jobs:latest"
