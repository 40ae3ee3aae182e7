"""What Dask's operator makes of the manifests, by its own functions: valid, found, let through."""

import pytest

from recbench.cluster.kubernetes import KubernetesSettings, dask_cluster_spec
from recbench.cluster.kubernetes.dask import other_workers_spec
from recbench.cluster.kubernetes.jobs import refresh_cron_job
from recbench.cluster.kubernetes.network import network_policies
from recbench.cluster.kubernetes.schemas import problems
from recbench.cluster.kubernetes.serving import serve_deployment, serve_service

controller = pytest.importorskip("dask_kubernetes.operator.controller.controller")
validation = pytest.importorskip("dask_kubernetes.operator.validation")

SETTINGS = KubernetesSettings(name="mine", namespace="somewhere")


def scheduler_parts():
    spec = dask_cluster_spec(SETTINGS)["spec"]["scheduler"]
    annotations = spec["metadata"]["annotations"]
    deployment = controller.build_scheduler_deployment_spec("mine", spec["spec"], annotations, {})
    service = controller.build_scheduler_service_spec("mine", spec["service"], annotations, {})
    return deployment, service


def worker_deployment(worker, group):
    return controller.build_worker_deployment_spec(
        worker_group_name=group,
        namespace="somewhere",
        cluster_name="mine",
        uuid="0123456789",
        pod_spec=worker["spec"],
        annotations=worker["metadata"]["annotations"],
        labels={},
    )


def deployments():
    default = dask_cluster_spec(SETTINGS)["spec"]["worker"]
    others = other_workers_spec(SETTINGS)
    return [
        scheduler_parts()[0],
        worker_deployment(default, "mine-default"),
        worker_deployment(others["spec"]["worker"], others["metadata"]["name"]),
    ]


def labels_of(deployment):
    return deployment["spec"]["template"]["metadata"]["labels"]


def is_chosen(labels, selector):
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    for wanted in selector.get("matchExpressions", []):
        assert wanted["operator"] == "Exists"
        if wanted["key"] not in labels:
            return False
    return set(selector.get("matchLabels", {}).items()) <= set(labels.items())


def test_what_the_operator_makes_is_valid():
    assert [
        line for each in [*deployments(), scheduler_parts()[1]] for line in problems(each)
    ] == []
    validation.validate_cluster_name(KubernetesSettings(name="x" * 53).name)


def test_the_schedulers_service_finds_its_pod():
    deployment, service = scheduler_parts()
    assert set(service["spec"]["selector"].items()) <= set(labels_of(deployment).items())
    host = f"{service['metadata']['name']}.somewhere.svc"
    assert SETTINGS.scheduler_address == f"tcp://{host}:{service['spec']['ports'][0]['port']}"


def test_a_worker_is_called_what_its_deployment_is_called():
    worker = worker_deployment(dask_cluster_spec(SETTINGS)["spec"]["worker"], "mine-default")
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert "--name=$(DASK_WORKER_NAME)" in container["args"]
    assert variables["DASK_WORKER_NAME"] == worker["metadata"]["name"]
    assert variables["DASK_SCHEDULER_ADDRESS"].startswith("tcp://mine-scheduler.somewhere.")


def may_reach(target, source):
    """Whether some policy lets pods with labels ``source`` in to pods with labels ``target``."""
    for policy in network_policies(SETTINGS):
        spec = policy["spec"]
        if not is_chosen(target, spec["podSelector"]):
            continue
        for rule in spec["ingress"]:
            peers = rule.get("from")
            if peers is None:
                return True
            if any("podSelector" in p and is_chosen(source, p["podSelector"]) for p in peers):
                return True
    return False


def test_the_clusters_pods_and_jobs_reach_one_another_and_nobody_else_does():
    job = refresh_cron_job(SETTINGS)["spec"]["jobTemplate"]["spec"]["template"]["metadata"][
        "labels"
    ]
    serve = labels_of(serve_deployment(SETTINGS))
    members = [*(labels_of(each) for each in deployments()), job]
    for target in members:
        assert all(may_reach(target, source) for source in members)
        assert not may_reach(target, serve)
        assert not may_reach(target, {"app": "stranger"})
        # a cluster that somebody opens beside is a member, too
        assert may_reach(target, {"dask.org/cluster-name": "another"})


def test_every_pod_is_chosen_by_a_policy_for_both_directions():
    job = refresh_cron_job(SETTINGS)["spec"]["jobTemplate"]["spec"]["template"]["metadata"][
        "labels"
    ]
    everybody = [*(labels_of(d) for d in [*deployments(), serve_deployment(SETTINGS)]), job]
    for labels in everybody:
        chosen = [
            policy["spec"]
            for policy in network_policies(SETTINGS)
            if is_chosen(labels, policy["spec"]["podSelector"])
        ]
        assert chosen
        assert all(spec["policyTypes"] == ["Ingress", "Egress"] for spec in chosen)
        # names can be looked up
        assert all(
            {"protocol": "UDP", "port": 53} in spec["egress"][-1]["ports"] for spec in chosen
        )


def test_the_operator_reaches_the_scheduler_and_no_worker():
    def ports_for_operator(labels):
        return [
            port["port"]
            for policy in network_policies(SETTINGS)
            if is_chosen(labels, policy["spec"]["podSelector"])
            for rule in policy["spec"]["ingress"]
            for peer in rule.get("from", [])
            if peer.get("namespaceSelector", {}).get("matchLabels")
            == {"kubernetes.io/metadata.name": "dask-operator"}
            for port in rule["ports"]
        ]

    scheduler, *workers = deployments()
    assert ports_for_operator(labels_of(scheduler)) == [8786, 8787]
    assert [ports_for_operator(labels_of(worker)) for worker in workers] == [[], []]


def test_anybody_reaches_the_service_on_its_port_alone():
    serve = serve_deployment(SETTINGS)
    (rule,) = [
        rule
        for policy in network_policies(SETTINGS)
        if is_chosen(labels_of(serve), policy["spec"]["podSelector"])
        for rule in policy["spec"]["ingress"]
    ]
    (container,) = serve["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    (service_port,) = serve_service(SETTINGS)["spec"]["ports"]
    assert rule == {"ports": [{"protocol": "TCP", "port": port["name"]}]}
    assert service_port["targetPort"] == port["name"]
