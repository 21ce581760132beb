"""The Helm chart: its rendered resources, and the pods among them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.process import ran
from tests.support.programs import locate

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "tailfuse"
VALUES = sorted((CHART / "ci").glob("*.yaml"))
NAMESPACE = "ml"

Resource = dict[str, Any]


def run_helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return ran(locate("helm"), *arguments, "--namespace", NAMESPACE)


def render_text(values: Path, *options: str, release: str = "tailfuse") -> str:
    """Return what Helm would install with these values, as YAML."""
    done = run_helm("template", release, str(CHART), "--values", str(values), *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(values: Path, *options: str, release: str = "tailfuse") -> list[Resource]:
    """Return what Helm would install with these values."""
    return [each for each in yaml.safe_load_all(render_text(values, *options, release=release)) if each]


def find(resources: list[Resource], kind: str, name: str = "tailfuse") -> Resource:
    """Return the resource of this kind and name."""
    found = [each for each in resources if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{kind} {name}: {len(found)} are there"
    return found[0]


def find_pods(resources: list[Resource]) -> Iterator[Resource]:
    """Yield the specification of each pod."""
    for each in resources:
        if each["kind"] == "Pod":
            yield each["spec"]
        elif each["kind"] == "Deployment":
            yield each["spec"]["template"]["spec"]


def find_containers(resources: list[Resource]) -> Iterator[Resource]:
    """Yield the containers of each pod, init containers too."""
    for pod in find_pods(resources):
        yield from (*pod.get("initContainers", []), *pod["containers"])


def find_environment(resources: list[Resource]) -> dict[str, str]:
    """Return the environment of the service's container."""
    (container,) = find(resources, "Deployment")["spec"]["template"]["spec"]["containers"]
    names = [each["name"] for each in container["env"]]
    assert len(names) == len(set(names)), "a variable is set twice"
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}
