"""What can be known of the containers that Compose starts, without running one."""

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tailfuse_service.settings import Settings

from tests.support.containers import (
    BUILT_HERE,
    COMPOSE,
    CPU,
    ROOT,
    compose,
    instructions,
    read_services,
)

VARIABLES = {f"TAILFUSE_{name.upper()}" for name in Settings.model_fields}
TRACING = {  # OpenTelemetry's own variables that Compose passes on
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
}  # fmt: skip


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return read_services()


@pytest.mark.parametrize(
    ("arguments", "environment", "name"),
    [
        ((), {}, "service"),
        ((), {"COMPOSE_PROFILES": "gpu"}, "service-gpu"),
        (("--profile", "cpu"), {}, "service"),
        (("--profile", "gpu"), {}, "service-gpu"),
    ],
)
def test_compose_starts_one_service_and_what_watches_it(
    arguments: tuple[str, ...], environment: dict[str, str], name: str
) -> None:
    done = compose(*arguments, "config", "--services", **environment)
    assert set(done.stdout.split()) == {name, "prometheus", "alertmanager", "grafana"}, done.stderr


def test_either_service_is_found_by_the_name_that_prometheus_asks_for(services: dict[str, Any]) -> None:
    assert services["service-gpu"]["networks"]["default"]["aliases"] == ["service"]
    config = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text())
    port = Settings.model_fields["port"].default
    [target] = config["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == f"service:{port}"
    assert instructions(CPU, "EXPOSE") == [str(port)]


@pytest.mark.parametrize("name", ["api", "admin", "trusted"])
def test_a_file_of_keys_is_mounted_where_the_service_is_told_that_it_is(tmp_path: Path, name: str) -> None:
    variable, file = f"TAILFUSE_{name.upper()}_KEYS", tmp_path / "keys"
    file.touch()
    for given, mounted, read in ((str(file), str(file), f"/keys/{name}"), ("", "/dev/null", "")):
        done = compose("config", **{variable: given})
        service = yaml.safe_load(done.stdout)["services"]["service"]
        sources = {volume["target"]: volume["source"] for volume in service["volumes"]}
        assert (sources[f"/keys/{name}"], service["environment"][variable]) == (mounted, read)


def test_the_gpu_is_asked_for(services: dict[str, Any]) -> None:
    [device] = services["service-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"], device["device_ids"]) == ("nvidia", ["gpu"], ["0"])


def test_every_mounted_file_is_in_the_repository_or_made_by_the_demo(services: dict[str, Any]) -> None:
    mounts = {
        Path(volume["source"])
        for each in services.values()
        for volume in each["volumes"]
        if volume["type"] == "bind"
    }
    made_by_the_demo = ROOT / "quickstart" / "run"
    assert made_by_the_demo in mounts
    assert [path for path in mounts - {made_by_the_demo} if not path.exists()] == []


def test_grafana_s_own_files_are_where_its_configuration_looks(services: dict[str, Any]) -> None:
    mounted = {volume["target"]: Path(volume["source"]) for volume in services["grafana"]["volumes"]}
    provisioned = mounted["/etc/grafana/provisioning"] / "dashboards" / "tailfuse.yml"
    [provider] = yaml.safe_load(provisioned.read_text())["providers"]
    dashboards = provider["options"]["path"]
    assert list(mounted[dashboards].glob("*.json"))
    ini = configparser.ConfigParser()
    ini.read(mounted["/etc/grafana/grafana.ini"])
    home = Path(ini["dashboards"]["default_home_dashboard_path"])
    assert (mounted[dashboards] / home.relative_to(dashboards)).is_file()


def test_ports_are_open_to_this_machine_only_unless_told_otherwise(services: dict[str, Any]) -> None:
    for each in services.values():
        assert [port["host_ip"] for port in each["ports"]] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("opened", "with_it", "open_now"),
    [
        ("TAILFUSE_HOST", {"TAILFUSE_API_KEYS": "/dev/null"}, {"service", "service-gpu"}),
        ("GRAFANA_HOST", {"GRAFANA_PASSWORD": "a long one"}, {"grafana"}),
    ],
)
def test_a_port_that_others_reach_wants_a_key(
    opened: str, with_it: dict[str, str], open_now: set[str]
) -> None:
    (needed,) = with_it
    refused = compose("config", **{opened: "0.0.0.0"})
    assert refused.returncode != 0
    assert f"{needed}" in refused.stderr
    assert f"{opened} opens" in refused.stderr
    taken = compose("--profile", "cpu", "--profile", "gpu", "config", **{opened: "0.0.0.0"}, **with_it)
    told = yaml.safe_load(taken.stdout)["services"]
    assert {name for name in told if told[name]["ports"][0]["host_ip"] == "0.0.0.0"} == open_now


def test_grafana_has_no_password_that_is_known_and_asks_for_the_one_that_is_set(
    services: dict[str, Any],
) -> None:
    ini = configparser.ConfigParser()
    ini.read(ROOT / "docker" / "grafana.ini")
    assert ini["security"].getboolean("disable_initial_admin_creation")
    assert (ini["auth.anonymous"]["enabled"], ini["auth.anonymous"]["org_role"]) == ("true", "Viewer")
    unset = services["grafana"]["environment"]
    assert {name: value for name, value in unset.items() if value} == {
        "PROMETHEUS_URL": "http://prometheus:9090"
    }
    done = compose("config", GRAFANA_PASSWORD="a long one")
    told = yaml.safe_load(done.stdout)["services"]["grafana"]["environment"]
    assert told["GF_SECURITY_ADMIN_PASSWORD"] == "a long one"
    assert told["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == told["GF_AUTH_ANONYMOUS_ENABLED"] == "false"


def test_every_container_is_confined_and_watched(services: dict[str, Any]) -> None:
    for name, each in services.items():
        assert each["read_only"] is True
        assert each["cap_drop"] == ["ALL"]
        assert each["security_opt"] == ["no-new-privileges:true"]
        assert int(each["mem_limit"]) > 0
        assert each["restart"] == "unless-stopped"
        assert each["logging"]["options"]["max-size"] == "10m"
        assert "healthcheck" in each or instructions(BUILT_HERE[name], "HEALTHCHECK")


def test_images_of_others_are_pinned_by_their_digest(services: dict[str, Any]) -> None:
    theirs = [each["image"] for name, each in services.items() if name not in BUILT_HERE]
    pinned = re.compile(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}")
    assert [image for image in theirs if not pinned.fullmatch(image)] == []


def test_every_variable_is_one_of_the_settings(services: dict[str, Any]) -> None:
    for name, dockerfile in BUILT_HERE.items():
        passed_on = set(services[name]["environment"])
        named = set(re.findall(r"TAILFUSE_[A-Z_]+", dockerfile.read_text()))
        assert passed_on
        assert {*passed_on, *named} - TRACING <= VARIABLES
        assert passed_on >= TRACING


def test_every_setting_can_be_set_through_compose() -> None:
    fixed = {"TAILFUSE_RUNTIME"}  # the images have one; where it listens inside is the mapping's business
    assert set(re.findall(r"TAILFUSE_[A-Z_]+", COMPOSE.read_text())) | fixed == VARIABLES


def test_the_example_of_an_env_file_names_what_compose_takes_with_its_defaults() -> None:
    text = COMPOSE.read_text()
    example = (ROOT / ".env.example").read_text()
    assert [line for line in example.splitlines() if line and line[0] != "#"] == []  # nothing needs to be set
    told = dict(re.findall(r"^#([A-Z_]+)=(.*)$", example, re.MULTILINE))
    defaults = re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text)
    key_files = {"TAILFUSE_API_KEYS", "TAILFUSE_ADMIN_KEYS", "TAILFUSE_TRUSTED_KEYS"}
    for name in {name for name, _ in defaults} - key_files:
        if name != "TAILFUSE_ALLOW_ANONYMOUS":  # not what one is told to set
            assert (name, told[name]) in defaults
    for name, value in told.items():
        if name.startswith("TAILFUSE_") and name not in dict(defaults):
            default = Settings.model_fields[name.removeprefix("TAILFUSE_").lower()].default
            assert value == str(default).lower()
    assert compose("--env-file", str(ROOT / ".env.example"), "config", "-q").returncode == 0


def test_compose_waits_longer_than_a_request_may_take(services: dict[str, Any]) -> None:
    for name in BUILT_HERE:
        grace = services[name]["stop_grace_period"]
        assert int(grace.removesuffix("s")) > Settings.model_fields["stop_timeout_s"].default + 5


def test_roles_are_in_a_volume_that_the_service_can_write_to(services: dict[str, Any]) -> None:
    for name, dockerfile in BUILT_HERE.items():
        [state] = [volume for volume in services[name]["volumes"] if volume["type"] == "volume"]
        assert "read_only" not in state
        roles = Path(services[name]["environment"]["TAILFUSE_ROLES"])
        assert roles.parent == Path(state["target"])
        [user] = instructions(dockerfile, "USER")
        owner = "-o {} -g {}".format(*user.split(":"))
        assert f"install -d {owner} {state['target']}" in " ".join(instructions(dockerfile, "RUN"))


def test_alertmanager_takes_a_configuration_of_the_operator(tmp_path: Path) -> None:
    done = compose("config", ALERTMANAGER_CONFIG=str(tmp_path))
    volumes = yaml.safe_load(done.stdout)["services"]["alertmanager"]["volumes"]
    assert {volume["target"]: volume["source"] for volume in volumes}["/etc/alertmanager"] == str(tmp_path)


def test_on_the_host_s_network_the_service_has_no_port_but_its_own() -> None:
    override = str(ROOT / "docker" / "compose.host.yml")
    done = compose("-f", override, "config", TAILFUSE_PORT="8123")
    service = yaml.safe_load(done.stdout)["services"]["service"]
    assert service["network_mode"] == "host"
    assert "ports" not in service
    assert (service["environment"]["TAILFUSE_HOST"], service["environment"]["TAILFUSE_PORT"]) == (
        "127.0.0.1",
        "8123",
    )
