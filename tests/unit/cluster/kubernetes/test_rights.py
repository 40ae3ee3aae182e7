"""Whatever is set, no pod gets more than it needs, and no secret stands in a manifest."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbench.cluster.kubernetes import KubernetesSettings
from recbench.cluster.kubernetes.files import manifest_files, manifests
from recbench.cluster.kubernetes.schemas import problems

NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
CPU = st.integers(1, 128).map(str) | st.integers(100, 9_999).map(lambda m: f"{m}m")
MEMORY = st.builds(lambda n, unit: f"{n}{unit}", st.integers(1, 999), st.sampled_from(["Mi", "Gi"]))


@st.composite
def chosen(draw):
    minimum = draw(st.integers(1, 64))
    registry = draw(st.sampled_from(["", "registry.example:5000/team/"]))
    return KubernetesSettings(
        image=f"{registry}{draw(NAMES)}:{draw(st.sampled_from(['1', '0.1.0', 'v2-rc.1']))}",
        namespace=draw(NAMES),
        name=draw(NAMES),
        minimum=minimum,
        maximum=draw(st.integers(minimum, 512)),
        scaled=draw(st.sampled_from(["cpu", "gpu"])),
        worker_cpu=draw(CPU),
        worker_memory=draw(MEMORY),
        gpu_worker_cpu=draw(CPU),
        gpu_worker_memory=draw(MEMORY),
        claim=draw(NAMES),
        storage_class=draw(st.just("") | NAMES),
        token_secret=draw(NAMES),
        wandb_secret=draw(st.just("") | NAMES),
    )


def everything(options):
    return [each for objects in manifests(options).values() for each in objects]


def pods_in(part):
    """Every pod's spec below ``part``."""
    if isinstance(part, list):
        return [pod for each in part for pod in pods_in(each)]
    if not isinstance(part, dict):
        return []
    if "containers" in part:
        return [part]
    return [pod for each in part.values() for pod in pods_in(each)]


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chosen())
def test_whatever_is_chosen_the_manifests_are_valid(options):
    assert [line for each in everything(options) for line in problems(each)] == []


@settings(max_examples=25, deadline=None)
@given(chosen())
def test_no_pod_has_rights_that_it_does_not_need(options):
    pods = pods_in(everything(options))
    assert len(pods) == 6  # scheduler, two kinds of workers, two jobs, the service
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] >= 10_000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}


@settings(max_examples=25, deadline=None)
@given(chosen())
def test_every_container_is_bounded_and_has_room_to_write(options):
    for pod in pods_in(everything(options)):
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            requests, limits = (container["resources"][what] for what in ("requests", "limits"))
            assert set(requests) == set(limits) >= {"cpu", "memory"}
            assert all(isinstance(amount, str) for amount in [*requests.values(), *limits.values()])
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}


@settings(max_examples=25, deadline=None)
@given(chosen())
def test_every_image_has_the_tag_that_was_given_and_follows_one_setting(options):
    repository, _, tag = options.image.rpartition(":")
    for pod in pods_in(everything(options)):
        for container in pod["containers"]:
            name, _, its_tag = container["image"].rpartition(":")
            assert (name.removesuffix(f"-{name.rpartition('-')[2]}"), its_tag) == (repository, tag)


@settings(max_examples=25, deadline=None)
@given(chosen())
def test_secrets_are_named_and_never_written_out(options):
    assert not [each for each in everything(options) if each["kind"] == "Secret"]
    for pod in pods_in(everything(options)):
        for container in pod["containers"]:
            for variable in container.get("env", []):
                if any(word in variable["name"] for word in ("KEY", "TOKEN", "SECRET", "PASSWORD")):
                    assert set(variable) == {"name", "valueFrom"}
                    assert set(variable["valueFrom"]) == {"secretKeyRef"}


@settings(max_examples=25, deadline=None)
@given(chosen())
def test_all_lies_in_the_chosen_namespace(options):
    for each in everything(options):
        if each["kind"] == "Namespace":
            assert each["metadata"]["name"] == options.namespace
        else:
            assert each["metadata"]["namespace"] == options.namespace


@pytest.mark.parametrize("name", ["", "recbench-wandb"])
def test_runs_are_sent_to_wandb_only_where_a_secret_is_named(name):
    text = json.dumps(manifests(KubernetesSettings(wandb_secret=name)))
    assert ("WANDB_API_KEY" in text) == bool(name)
    assert ("443" in text) == bool(name)


def test_who_opens_clusters_may_touch_nothing_but_them():
    (role,) = [each for each in everything(KubernetesSettings()) if each["kind"] == "Role"]
    for rule in role["rules"]:
        assert not {"*", "watch", "update"} & {*rule["verbs"], *rule["resources"]}
        if rule["apiGroups"] == [""]:
            assert set(rule["verbs"]) <= {"get", "list"}
    (binding,) = [
        each for each in everything(KubernetesSettings()) if each["kind"] == "RoleBinding"
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    names = {
        a["metadata"]["name"]
        for a in everything(KubernetesSettings())
        if a["kind"] == "ServiceAccount"
    }
    used = {pod["serviceAccountName"] for pod in pods_in(everything(KubernetesSettings()))}
    bound = {subject["name"] for subject in binding["subjects"]}
    assert names == used | bound
    assert not used & bound


def test_files_hold_what_the_settings_give_and_read_back_the_same():
    import yaml

    options = KubernetesSettings()
    for name, text in manifest_files(options).items():
        assert list(yaml.safe_load_all(text)) == manifests(options)[name]
        assert text.startswith("# ")
        assert "&id" not in text
