"""KServe's manifests start the service as it can be started, and it answers under the name that KServe gives.

`make clients` checks them by KServe's own types, and asks with its client.
"""

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml
from tailfuse_service.http import paths
from tailfuse_service.settings import Settings

from tests.support.kserve import KSERVE, read_runtime, runtime_flags
from tests.support.process import TIMEOUT_S, Service, start_service

NAME = "lesions"


def call(service: Service, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = HTTPConnection(*service.address, timeout=TIMEOUT_S)
    connection.request(method, path, None if body is None else json.dumps(body))
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response.status, json.loads(answer) if answer else None


@pytest.mark.e2e
def test_a_service_that_kserve_starts_answers_as_its_inference_service_is_called(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    service = start_service(tiny_bundle, *runtime_flags(NAME), log=tmp_path / "log")
    [container] = read_runtime()["containers"]
    probes = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    for path in (*probes, f"/v2/models/{NAME}/ready"):
        assert call(service, "GET", path)[0] == 200, path
    tensor = {"name": "notes", "datatype": "BYTES", "shape": [1], "data": ["a mole"]}
    status, answer = call(service, "POST", f"/v2/models/{NAME}/infer", {"inputs": [tensor]})
    assert (status, answer["model_name"]) == (200, NAME)
    assert call(service, "GET", "/model")[1]["name"] == NAME
    assert call(service, "GET", "/v2/models/skin-lesions/ready")[0] == 404  # the manifest's
    assert service.stop() == 0


def test_the_runtime_opens_the_port_that_its_probes_ask() -> None:
    [container] = read_runtime()["containers"]
    flags = dict(flag.removeprefix("--").partition("=")[::2] for flag in container["args"][1:])
    assert {flag.replace("-", "_") for flag in flags} <= set(Settings.model_fields)
    ports = {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "readiness", "liveness")}
    assert ports == {int(flags["port"])} == {container["ports"][0]["containerPort"]}
    labels = {route.label for route in paths.ROUTES.values()}
    assert {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness")} <= labels


def test_the_example_names_the_runtime_and_a_format_that_it_supports() -> None:
    runtime = yaml.safe_load((KSERVE / "runtime.yaml").read_text())
    model = yaml.safe_load((KSERVE / "lesions.yaml").read_text())["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    supported = runtime["spec"]["supportedModelFormats"]
    assert model["modelFormat"] in [{key: each[key] for key in ("name", "version")} for each in supported]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
