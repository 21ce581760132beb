"""The Helm chart, rendered with every file of ci/: valid, confined, and true to the service it starts."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tailfuse_service.http import paths
from tailfuse_service.settings import Settings
from tailfuse_service.settings.roles_file import ROLES

from tests.support.chart import (
    CHART,
    NAMESPACE,
    ROOT,
    VALUES,
    Resource,
    find,
    find_containers,
    find_environment,
    find_pods,
    render,
    render_text,
    run_helm,
)
from tests.support.process import ran
from tests.support.programs import locate

pytestmark = [pytest.mark.slow, pytest.mark.needs("helm", "kubernetes-validate")]

each_values = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
CI = {path.stem: path for path in VALUES}
# The oldest version of the chart's `kubeVersion` whose schemas are known, and the newest.
KUBERNETES = ("1.27", "1.37")
KEYS = {"TAILFUSE_API_KEYS", "TAILFUSE_ADMIN_KEYS", "TAILFUSE_TRUSTED_KEYS", "TAILFUSE_ROLES"}
SERVICE_LABELS = {"app.kubernetes.io/component": "service"}


@each_values
def test_helm_lints_it(values: Path) -> None:
    done = run_helm("lint", "--strict", str(CHART), "--values", str(values))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize(
    ("values", "version"),
    [
        pytest.param(values, version, id=f"{values.stem}-{version}")
        for values in VALUES
        for version in KUBERNETES
        if (values.stem, version) != ("keda", "1.27")  # Kubernetes has volumes of images since 1.31
    ],
)
def test_its_resources_fit_the_schemas_of_kubernetes(values: Path, version: str, tmp_path: Path) -> None:
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(render_text(values, "--kube-version", version))
    done = ran(
        locate("kubernetes-validate"), "--strict", "--no-warn", "--kubernetes-version", version, str(rendered)
    )
    assert done.returncode == 0, done.stdout + done.stderr


@each_values
def test_resources_of_operators_fit_their_types(values: Path, tmp_path: Path) -> None:
    checked = [
        each
        for each in render(values)
        if each["apiVersion"].split("/")[0] in ("keda.sh", "monitoring.coreos.com")
    ]
    assert bool(checked) == (values.stem == "keda")
    done = check_types(checked, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def check_types(resources: list[Any], folder: Path) -> subprocess.CompletedProcess[str]:
    written = folder / "resources.json"
    written.write_text(json.dumps(resources))
    with written.open() as file:
        return ran(locate("node"), str(ROOT / "deploy" / "tools" / "check_types.mjs"), stdin=file)


def test_a_fault_in_a_resource_of_an_operator_is_found(tmp_path: Path) -> None:
    resources = render(CI["keda"])
    scaled = find(resources, "ScaledObject")
    scaled["spec"]["triggers"][0]["metadata"]["threshold"] = 32
    del find(resources, "ServiceMonitor")["spec"]["selector"]
    checked = [scaled, find(resources, "ServiceMonitor")]
    done = check_types(checked, tmp_path)
    assert done.returncode == 1
    assert "threshold must be string" in done.stdout
    assert "property selector" in done.stdout


@each_values
def test_every_container_is_confined(values: Path) -> None:
    resources = render(values)
    for pod in find_pods(resources):
        security = pod["securityContext"]
        assert pod["automountServiceAccountToken"] is False
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 10001  # the user of the images
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in find_containers(resources):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]
        written = [mount for mount in container.get("volumeMounts", []) if not mount.get("readOnly")]
        allowed = {"/tmp", "/bundles"} if container["name"] == "fetch" else {"/tmp"}
        assert {mount["mountPath"] for mount in written} <= allowed


@each_values
def test_the_service_accepts_its_environment(values: Path) -> None:
    environment = find_environment(render(values))
    given = {name: value for name, value in environment.items() if name.startswith("TAILFUSE_")}
    assert set(given) <= {f"TAILFUSE_{name.upper()}" for name in Settings.model_fields}
    plain = {name.removeprefix("TAILFUSE_").lower(): given[name] for name in set(given) - KEYS}
    settings = Settings.model_validate({"allow_anonymous": True, **plain})  # files of keys are not here
    assert (settings.host, settings.port) == ("0.0.0.0", 8000)
    assert (settings.metrics_port, settings.metrics_host) == (9000, "0.0.0.0")


def test_values_of_settings_arrive_as_they_are() -> None:
    environment = find_environment(render(CI["download"]))
    assert environment["TAILFUSE_MAX_BODY_BYTES"] == "33554432"
    assert environment["TAILFUSE_LOG_REQUESTS"] == "true"
    assert environment["TAILFUSE_STOP_TIMEOUT_S"] == "12.5"


@each_values
def test_a_pod_has_time_to_answer_what_it_accepted(values: Path) -> None:
    pod = find(resources := render(values), "Deployment")["spec"]["template"]["spec"]
    environment = find_environment(resources)
    default = Settings.model_fields["stop_timeout_s"].default
    stop_s = float(environment.get("TAILFUSE_STOP_TIMEOUT_S", default))
    [_, pause] = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] >= int(pause) + stop_s + 10


@each_values
def test_probes_ask_routes_that_the_service_has(values: Path) -> None:
    [container] = find(render(values), "Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {
        container[f"{kind}Probe"]["httpGet"]["path"]: container[f"{kind}Probe"]["httpGet"]["port"]
        for kind in ("startup", "readiness", "liveness")
    }
    assert asked == {"/healthz": "http", "/readyz": "http"}
    assert set(asked) <= {route.label for route in paths.ROUTES.values()}


@each_values
def test_everything_names_ports_and_pods_that_are_there(values: Path) -> None:
    resources = render(values)
    template = find(resources, "Deployment")["spec"]["template"]
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    labels = template["metadata"]["labels"]
    for service in (each for each in resources if each["kind"] == "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
        assert SERVICE_LABELS.items() <= service["spec"]["selector"].items() <= labels.items()
    for each in resources:
        if each["kind"] == "NetworkPolicy":
            assert each["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
            opened = {port["port"] for rule in each["spec"]["ingress"] for port in rule["ports"]}
            assert opened == ports
        if each["kind"] == "PodDisruptionBudget":
            assert each["spec"]["selector"]["matchLabels"].items() <= labels.items()
    volumes = {volume["name"] for volume in template["spec"]["volumes"]}
    mounted = {
        mount["name"]
        for container in find_containers(resources)
        for mount in container.get("volumeMounts", [])
    }
    assert mounted == volumes


def test_metrics_are_not_at_the_port_that_clients_reach() -> None:
    resources = render(CI["keda"])
    assert [port["name"] for port in find(resources, "Service")["spec"]["ports"]] == ["http"]
    assert find(resources, "Service", "tailfuse-metrics")["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize("release", ["tailfuse", "prod"])
def test_rules_and_the_autoscaler_ask_for_the_job_that_the_monitor_gives(release: str) -> None:
    name = "tailfuse" if release == "tailfuse" else "prod-tailfuse"
    resources = render(CI["keda"], release=release)
    monitor = find(resources, "ServiceMonitor", name)["spec"]
    service = find(resources, "Service", f"{name}-metrics")
    labels = service["metadata"]["labels"]
    assert labels[monitor["jobLabel"]] == name
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert (
        not monitor["selector"]["matchLabels"].items()
        <= find(resources, "Service", name)["metadata"]["labels"].items()
    )
    rules = json.dumps(find(resources, "PrometheusRule", name)["spec"])
    assert set(re.findall(r'job=~?\\"(.*?)\\"', rules)) == {name}
    for trigger in find(resources, "ScaledObject", name)["spec"]["triggers"]:
        assert f'namespace="{NAMESPACE}", job="{name}"' in trigger["metadata"]["query"]


def test_the_rules_are_those_of_the_repository() -> None:
    expected: list[Any] = []
    for file in ("recording.yml", "alerts.yml"):
        text = (ROOT / "monitoring" / "prometheus" / file).read_text()
        expected += yaml.safe_load(text.replace('job="tailfuse"', 'job=~"tailfuse"'))["groups"]
    assert find(render(CI["keda"]), "PrometheusRule")["spec"]["groups"] == expected


def test_the_dashboards_are_those_of_the_repository() -> None:
    written = (ROOT / "monitoring" / "grafana" / "dashboards").glob("*.json")
    expected = {f"tailfuse-{file.name}": file.read_text() for file in written}
    data = find(render(CI["keda"]), "ConfigMap", "tailfuse-dashboards")["data"]
    assert data == expected
    assert sum(map(len, data.values())) < 900_000  # a ConfigMap holds a mebibyte


def test_roles_are_a_file_that_the_service_reads() -> None:
    resources = render(CI["keda"])
    data = find(resources, "ConfigMap", "tailfuse-roles")["data"]
    roles = ROLES.validate_json(data["roles.json"])
    assert roles["lesions"].canary is not None
    assert roles["lesions"].canary.share == 0.05
    assert find_environment(resources)["TAILFUSE_ROLES"] == "/etc/tailfuse/roles/roles.json"


def test_a_gpu_is_asked_for() -> None:
    resources = render(CI["gpu"])
    pod = find(resources, "Deployment")["spec"]["template"]["spec"]
    limits = pod["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "4Gi", "nvidia.com/gpu": 1}
    assert pod["containers"][0]["image"].startswith("tailfuse-gpu@sha256:")
    assert find_environment(resources)["TAILFUSE_DEVICE"] == "cuda"


@each_values
def test_one_thing_sets_the_number_of_replicas(values: Path) -> None:
    resources = render(values)
    scaled = [each for each in resources if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
    assert ("replicas" in find(resources, "Deployment")["spec"]) != bool(scaled)
    assert len(scaled) <= 1


FAULTS = {
    "no bundle": (["--set", "bundle.volume=null"], "exactly one of bundle.volume"),
    "two bundles": (
        ["--set", "bundle.fetch.image=a,bundle.fetch.command={b}"],
        "exactly one of bundle.volume, bundle.download and bundle.fetch; 2 are set",
    ),
    "no keys": (["--set", "allowAnonymous=false"], "set keys.secret"),
    "keys that nobody needs": (["--set", "keys.secret=k"], "contradict"),
    "admin keys without a secret": (["--set", "keys.admin=true"], "keys.admin needs keys.secret"),
    "two autoscalers": (["--set", "autoscaling.enabled=true,keda.enabled=true"], "enable one of them"),
    "fewer at most than at least": (["--set", "keda.minReplicas=20"], "below minReplicas"),
    "scaling to zero": (["--set", "keda.minReplicas=0"], "/keda/minReplicas"),
    "a misspelt value": (["--set", "replica=3"], "'replica' not allowed"),
    "a misspelt setting": (["--set", "settings.max_quue=3"], "'max_quue' not allowed"),
    "a setting of the chart's own": (["--set", "settings.port=3"], "'port' not allowed"),
    "a setting that the service refuses": (["--set", "settings.max_queue=0"], "/settings/max_queue"),
    "a path out of the volume": (["--set", "bundle.path=../etc"], "/bundle/path"),
    "a download without its sum": (
        ["--set", "bundle.download.url=https://a/b.zip"], "missing property 'sha256'",
    ),
    "a password in an address": (
        ["--set", f"bundle.download.url=https://me:secret@a/b.zip,bundle.download.sha256={'0' * 64}"],
        "/bundle/download/url",
    ),
    "a share above 1": (
        ["--set", "roles.m.canary.share=2,roles.m.canary.version=a"], "/roles/m/canary/share",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_values_that_cannot_work_are_refused_with_a_sentence(fault: str) -> None:
    options, told = FAULTS[fault]
    done = run_helm("template", "t", str(CHART), "--values", str(CI["volume"]), *options)
    assert done.returncode != 0
    assert told in done.stderr


def test_the_chart_has_the_version_of_the_service() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == chart["version"] == project["version"]


def test_helm_packs_the_files_that_links_lead_to(tmp_path: Path) -> None:
    done = run_helm("package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    [packed] = tmp_path.glob("*.tgz")
    from_folder, from_package = (
        run_helm("template", "t", str(chart), "--values", str(CI["keda"])).stdout for chart in (CHART, packed)
    )
    assert "TailfuseWeightCollapsed" in from_package
    assert from_package == from_folder


def containers_named(resources: list[Resource], name: str) -> list[Resource]:
    return [each for each in find_containers(resources) if each["name"] == name]


def test_an_init_container_fetches_the_bundle_where_the_service_looks_for_it() -> None:
    for values, bundle in ((CI["download"], "/bundles/bundle.zip"), (CI["gpu"], "/bundles/bundle")):
        resources = render(values)
        [fetch] = containers_named(resources, "fetch")
        assert bundle in " ".join([*fetch.get("args", []), *fetch["command"]]).split()
        assert find_environment(resources)["TAILFUSE_BUNDLE"] == bundle
    assert containers_named(render(CI["volume"]), "fetch") == []
