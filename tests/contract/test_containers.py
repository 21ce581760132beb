"""What can be known of the containers without running one."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from service.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
VARIABLES = {f"TAILFUSE_{name.upper()}" for name in Settings.model_fields}


def services() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())["services"]  # type: ignore[no-any-return]


def instructions(name: str) -> list[str]:
    """What follows each `name` of the Dockerfile, continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in joined.splitlines() if line.startswith(f"{name} ")]


def ran(tool: str, *arguments: str) -> str:
    """What a tool of the `dev` extra says; nothing if it is content."""
    found = shutil.which(tool, path=Path(sys.executable).parent) or shutil.which(tool)
    assert found, f"{tool} is not installed; the extra `dev` has it"
    done = subprocess.run([found, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def bind_mounts() -> list[str]:
    """The host's side of each mount, variables replaced by their defaults; volumes left out."""
    volumes = [each for service in services().values() for each in service.get("volumes", [])]
    sources = [each["source"] if isinstance(each, dict) else each.split(":")[0] for each in volumes]
    plain = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", source) for source in sources]
    return [source for source in plain if source.startswith(".")]


def test_every_mounted_file_is_in_the_repository_or_made_by_the_demo() -> None:
    made_by_the_demo = "./quickstart/run/bundle"
    mounts = bind_mounts()
    assert made_by_the_demo in mounts
    assert [each for each in mounts if each != made_by_the_demo and not (ROOT / each).is_file()] == []


def test_compose_takes_the_file() -> None:
    assert ran("docker-compose", "-f", str(COMPOSE), "config", "--quiet") == ""


def test_hadolint_has_nothing_to_say() -> None:
    assert ran("hadolint", "docker/Dockerfile") == ""


def test_prometheus_scrapes_the_service_at_its_port() -> None:
    config = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    port = Settings.model_fields["port"].default
    assert job["static_configs"] == [{"targets": [f"service:{port}"]}]
    assert instructions("EXPOSE") == [str(port)]


def test_ports_are_open_to_this_machine_only_unless_told_otherwise() -> None:
    ports = [port for service in services().values() for port in service["ports"]]
    assert ports
    assert all(port.startswith("${TAILFUSE_HOST:-127.0.0.1}:") for port in ports)


def test_every_variable_is_one_of_the_settings() -> None:
    passed_on = {each.split("=")[0] for each in services()["service"]["environment"]}
    named = set(re.findall(r"TAILFUSE_[A-Z_]+", DOCKERFILE))
    assert passed_on
    assert {*passed_on, *named} <= VARIABLES


def test_every_setting_can_be_set_through_compose() -> None:
    # The image has one runtime, no device and no OpenTelemetry; where it listens inside is the mapping's
    # business.
    fixed = {"TAILFUSE_RUNTIME", "TAILFUSE_DEVICE", "TAILFUSE_TRACING"}
    assert set(re.findall(r"TAILFUSE_[A-Z_]+", COMPOSE.read_text())) | fixed == VARIABLES


def test_the_image_is_made_of_the_service_alone() -> None:
    from_here = [each.split()[:-1] for each in instructions("COPY") if not each.startswith("--from")]
    copied = {source for sources in from_here for source in sources}
    assert copied == {"pyproject.toml", "README.md", "constraints.txt", "service"}
    ignored, *let_through = (
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"
    )
    assert ignored == "*"
    assert {line[1:] for line in let_through if line[0] == "!"} == copied


def test_the_image_runs_without_rights() -> None:
    (user,) = instructions("USER")
    assert user.split(":")[0].isdecimal()
    assert int(user.split(":")[0]) > 0
    for service in services().values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_compose_waits_longer_than_a_request_may_take() -> None:
    grace = services()["service"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > Settings.model_fields["request_timeout_s"].default + 1
