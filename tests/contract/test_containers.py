"""What can be known of the containers without running one; `make images-check` runs them."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tailfuse_service.settings import Settings

from tests.support.process import ran
from tests.support.programs import locate

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SCALED = ROOT / "docker" / "compose.scale.yml"
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile*"))
CPU = ROOT / "docker" / "Dockerfile"
GPU = ROOT / "docker" / "Dockerfile.gpu"
TRAIN = ROOT / "docker" / "Dockerfile.train"
VARIABLES = {f"TAILFUSE_{name.upper()}" for name in Settings.model_fields}
BUILT_HERE = {"service": CPU, "service-gpu": GPU}
TRACING = {  # OpenTelemetry's own variables that Compose passes on
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
}  # fmt: skip


def compose(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Compose itself, with nothing set but what is named."""
    plain = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return subprocess.run(
        [tool("docker-compose"), "--env-file", "/dev/null", "-f", str(COMPOSE), *arguments],
        cwd=ROOT, env={**plain, **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def tool(name: str) -> str:
    """One that the extra `dev` has."""
    found = shutil.which(name, path=Path(sys.executable).parent) or shutil.which(name)
    assert found, f"{name} is not installed; the extra `dev` has it"
    return found


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Every service of every profile, as Compose understands it; nothing is set."""
    done = compose("--profile", "cpu", "--profile", "gpu", "config")
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]  # type: ignore[no-any-return]


def instructions(dockerfile: Path, name: str) -> list[str]:
    """What follows each `name` of a Dockerfile, continued lines joined."""
    joined = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in joined.splitlines() if line.startswith(f"{name} ")]


def sources(dockerfile: Path) -> set[str]:
    """What a Dockerfile takes from the repository."""
    from_here = [each.split()[:-1] for each in instructions(dockerfile, "COPY") if "--from" not in each]
    return {source for line in from_here for source in line}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(dockerfile: Path) -> None:
    done = subprocess.run([tool("hadolint"), str(dockerfile)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_every_image_has_one_pinned_base_and_runs_as_a_number_that_is_not_root(dockerfile: Path) -> None:
    base = r"BASE_IMAGE=python:3\.11\.14-slim-bookworm@sha256:[0-9a-f]{64}"
    assert re.fullmatch(base, instructions(dockerfile, "ARG")[0])
    assert instructions(dockerfile, "FROM") == ["${BASE_IMAGE} AS build", "${BASE_IMAGE}"]
    (user,) = instructions(dockerfile, "USER")
    assert user.split(":")[0].isdecimal()
    assert int(user.split(":")[0]) > 0


def test_the_gpu_s_image_is_the_processor_s_but_for_its_onnxruntime() -> None:
    cpu, gpu = (re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE) for path in (CPU, GPU))
    only_there = [
        " && python -m pip --python /venv/bin/python uninstall --yes onnxruntime \\\n",
        " && python -m pip --python /venv/bin/python install --require-hashes --only-binary :all: -r gpu.txt"
        " \\\n",
        " requirements/gpu.txt",
        "    NVIDIA_VISIBLE_DEVICES=all \\\n",
        "    NVIDIA_DRIVER_CAPABILITIES=compute,utility \\\n",
        "    TAILFUSE_DEVICE=cuda \\\n",
        "-gpu",  # the title
        ", on a GPU",
    ]
    for part in only_there:
        assert gpu.count(part) == 1
        gpu = gpu.replace(part, "")
    assert gpu == cpu


def test_what_the_gpu_s_image_adds_is_pinned() -> None:
    lines = (ROOT / "docker" / "requirements-gpu.txt").read_text().splitlines()
    pins = [line.split("#")[0].strip() for line in lines if line and line[0] != "#"]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?==[\d.]+", pin)] == []
    assert {"onnxruntime-gpu", "nvidia-ml-py"} <= {re.split(r"[\[=]", pin)[0] for pin in pins}


def test_the_service_s_images_hold_the_service_alone_and_builds_see_what_they_take() -> None:
    common = {"LICENSE", "NOTICE", "pyproject.toml", "requirements/build.txt", "service"}
    assert sources(CPU) == common | {"requirements/serve.txt"}
    assert sources(GPU) == sources(CPU) | {"requirements/gpu.txt"}
    assert sources(TRAIN) - common == {
        "constraints.txt",
        "model",
        "requirements/torch.txt",
        "requirements/train.txt",
    }
    ignored, *let_through = (
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"
    )
    assert ignored == "*"
    seen = {source.partition("/")[0] for source in sources(GPU) | sources(TRAIN)}
    assert {line[1:] for line in let_through if line[0] == "!"} == seen


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


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_takes_from_the_index_only_packages_with_a_listed_sum(dockerfile: Path) -> None:
    commands = re.findall(
        r"-m pip(?: --python \S+)? (?:install|wheel) [^&;]*", " ".join(instructions(dockerfile, "RUN"))
    )
    by_version = [each for each in commands if "--require-hashes" not in each and "--no-index" not in each]
    # Another index has another build of torch, and an extra may want what nobody has pinned.
    expected = ["TORCH_INDEX", "$EXTRAS"] if dockerfile == TRAIN else []
    assert len(commands) > len(by_version)
    assert [word for word, each in zip(expected, by_version, strict=True) if word not in each] == []


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


@pytest.fixture(scope="module")
def scaled() -> dict[str, Any]:
    """Every service of every profile behind the proxy."""
    done = compose("-f", str(SCALED), "--profile", "cpu", "--profile", "gpu", "config")
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]  # type: ignore[no-any-return]


def test_replicas_have_no_port_of_the_host_and_the_proxy_has_theirs(
    services: dict[str, Any], scaled: dict[str, Any]
) -> None:
    assert "ports" not in scaled["service"]
    assert "ports" not in scaled["service-gpu"]
    assert scaled["proxy"]["ports"] == services["service"]["ports"]
    opened = yaml.safe_load(compose("-f", str(SCALED), "config", TAILFUSE_PORT="8123").stdout)
    assert opened["services"]["proxy"]["ports"][0]["published"] == "8123"
    refused = compose("-f", str(SCALED), "config", TAILFUSE_HOST="0.0.0.0")
    assert "TAILFUSE_HOST opens" in refused.stderr


def test_the_proxy_is_confined_and_pinned_and_finds_the_replicas(scaled: dict[str, Any]) -> None:
    proxy = scaled["proxy"]
    assert proxy["read_only"] is True
    assert proxy["cap_drop"] == ["ALL"]
    assert proxy["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"library/caddy:\d+\.\d+\.\d+-alpine@sha256:[0-9a-f]{64}", proxy["image"])
    assert [Path(volume["source"]).exists() for volume in proxy["volumes"]] == [True]
    caddyfile = (ROOT / "docker" / "Caddyfile").read_text()
    port = Settings.model_fields["port"].default
    assert re.search(rf"name service\n\s+port {port}\n", caddyfile)
    [waited] = re.findall(r"response_header_timeout (\d+)s", caddyfile)
    assert int(waited) > Settings.model_fields["request_timeout_s"].default


@pytest.mark.needs("caddy")
def test_caddy_accepts_its_configuration() -> None:
    caddyfile = str(ROOT / "docker" / "Caddyfile")
    done = ran(locate("caddy"), "validate", "--adapter", "caddyfile", "--config", caddyfile)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_every_replica(scaled: dict[str, Any]) -> None:
    [config] = [each for each in scaled["prometheus"]["command"] if each.startswith("--config.file=")]
    folder = ROOT / "monitoring" / "prometheus"
    several = yaml.safe_load((folder / Path(config).name).read_text())
    one = yaml.safe_load((folder / "prometheus.yml").read_text())
    [scraped], [alone] = several.pop("scrape_configs"), one.pop("scrape_configs")
    assert several == one
    assert scraped["job_name"] == alone["job_name"]
    [found] = scraped["dns_sd_configs"]
    assert (found["names"], found["type"]) == (["service"], "A")
    assert alone["static_configs"] == [{"targets": [f"{found['names'][0]}:{found['port']}"]}]


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
