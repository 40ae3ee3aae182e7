"""The images and the service's manifest name what there is, and ask for no more than they need."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from recbench.cli.serve import serve
from recbench.cluster.kubernetes import KubernetesSettings
from recbench.cluster.kubernetes.files import manifests
from recbench.serving.guard import OPEN

ENVIRONMENTS = Path(__file__).resolve().parents[2] / "environments"
DOCKERFILE = (ENVIRONMENTS / "Dockerfile").read_text()
JOBS_DOCKERFILE = (ENVIRONMENTS / "jobs.Dockerfile").read_text()
BOTH = pytest.mark.parametrize("dockerfile", [DOCKERFILE, JOBS_DOCKERFILE], ids=["serve", "jobs"])
MANIFEST = list(yaml.safe_load_all((ENVIRONMENTS / "k8s" / "serve.yaml").read_text()))


def one(kind):
    (found,) = [part for part in MANIFEST if part["kind"] == kind]
    return found


@pytest.fixture
def pod():
    return one("Deployment")["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    (container,) = pod["containers"]
    return container


def instructions(name, dockerfile):
    joined = dockerfile.replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", joined, flags=re.MULTILINE)


def instruction(name, dockerfile=DOCKERFILE):
    """Its last occurrence."""
    return instructions(name, dockerfile)[-1]


def parsed(arguments):
    return serve.make_context("serve", list(arguments)).params


def test_the_image_starts_the_service_with_options_that_it_has():
    assert json.loads(instruction("ENTRYPOINT")) == ["recbench", "serve"]
    options = parsed(json.loads(instruction("CMD")))
    assert (options["host"], options["port"]) == ("0.0.0.0", int(instruction("EXPOSE")))
    assert options["token_file"] is not None


@BOTH
def test_an_image_runs_as_nobody_in_particular_and_copies_what_exists(dockerfile):
    assert instruction("USER", dockerfile) == "10001:10001"
    assert instruction("STOPSIGNAL", dockerfile) == "SIGTERM"
    for copied in instructions("COPY (?!--from)", dockerfile):
        for name in copied.split()[:-1]:
            assert (ENVIRONMENTS.parent / name).exists(), name


@BOTH
def test_an_image_installs_what_is_pinned_and_extras_that_there_are(dockerfile):
    project = tomllib.loads((ENVIRONMENTS.parent / "pyproject.toml").read_text())["project"]
    defaults = dict(each.split("=", 1) for each in instructions("ARG", dockerfile))
    (install,) = [each for each in instructions("RUN", dockerfile) if "pip install" in each]
    for name, value in defaults.items():
        install = install.replace(f"${name}", value)
    (constraint,) = re.findall(r'--constraint "?([^\s"]+)', install)
    (extras,) = re.findall(r"\.\[([^]]+)\]", install)
    assert constraint == "environments/cpu.lock"
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_the_image_of_gpu_workers_is_built_from_pins_and_extras_that_there_are():
    project = tomllib.loads((ENVIRONMENTS.parent / "pyproject.toml").read_text())["project"]
    given = dict(re.findall(r"--build-arg (\w+)=(\S*)", JOBS_DOCKERFILE))
    assert set(given) <= {each.partition("=")[0] for each in instructions("ARG", JOBS_DOCKERFILE)}
    assert (ENVIRONMENTS / given["LOCK"]).is_file()
    assert set(given["EXTRAS"].split(",")) <= set(project["optional-dependencies"])


def test_the_image_of_jobs_leaves_to_the_pod_what_runs_and_holds_the_notebooks():
    assert instructions("ENTRYPOINT", JOBS_DOCKERFILE) == []
    assert "RECBENCH_NOTEBOOKS=/opt/notebooks" in instruction("ENV", JOBS_DOCKERFILE)
    assert "COPY notebooks /opt/notebooks" in JOBS_DOCKERFILE


def test_the_images_that_are_asked_for_are_those_that_the_files_say_how_to_build():
    text = json.dumps(manifests(KubernetesSettings()))
    asked = set(re.findall(r'"image": "([^"]+)"', text))
    assert asked == set(re.findall(r"-t (\S+)", DOCKERFILE + JOBS_DOCKERFILE))


def test_the_container_is_given_options_that_the_service_has(pod, container):
    options = parsed(container["args"])
    assert options["port"] == container["ports"][0]["containerPort"]
    mounted = {Path(mount["mountPath"]) for mount in container["volumeMounts"]}
    assert options["token_file"].parent in mounted
    paused = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > paused + options["drain"].total_seconds()


def test_the_probes_ask_what_needs_no_token(container):
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in OPEN
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"


def test_it_has_no_rights_that_it_does_not_need(pod, container):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    own = container["securityContext"]
    assert own["allowPrivilegeEscalation"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}
    (workspace,) = [m for m in container["volumeMounts"] if m["mountPath"] == "/workspace"]
    assert workspace["readOnly"] is True


def test_its_resources_are_bounded(container):
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}


def test_every_volume_that_is_mounted_is_there_and_no_other(pod, container):
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_service_and_budget_find_the_pods():
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert one("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert one("Service")["spec"]["selector"] == labels
    budget = one("PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == labels
    assert 0 < budget["minAvailable"] < one("Deployment")["spec"]["replicas"]
