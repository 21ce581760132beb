"""A real service and the bundle that it is made to reload."""

import json
import os
import signal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.asking import as_json
from tests.support.process import TIMEOUT_S, Service, start_service

INPUTS: dict[str, Any] = {"clinical": {"age": 61, "pulse": 80, "smoker": False, "site": "face"}}
BODY = json.dumps(as_json(INPUTS))


class Deployment:
    """A service that was started with a link, which may be made to lead somewhere else."""

    def __init__(self, link: Path, target: Path, *flags: str) -> None:
        self._link = link
        self.lead_to(target)
        self.service: Service = start_service(link, *flags, log=link.with_suffix(".log"))

    def lead_to(self, target: Path) -> None:
        beside = self._link.with_suffix(".new")
        beside.symlink_to(target)
        os.replace(beside, self._link)

    def reload(self, target: Path) -> None:
        self.lead_to(target)
        self.service.process.send_signal(signal.SIGHUP)

    def connection(self) -> HTTPConnection:
        return HTTPConnection(*self.service.address, timeout=TIMEOUT_S)

    def lines(self, message: str) -> list[dict[str, Any]]:
        return [line for line in self.service.log_lines() if line["message"] == message]

    def loaded(self) -> list[dict[str, Any]]:
        return self.lines("bundle loaded")

    def refused(self) -> list[dict[str, Any]]:
        return self.lines("bundle not loaded; the old one stays")

    def metrics(self) -> list[tuple[str, dict[str, str], float]]:
        connection = self.connection()
        families = text_string_to_metric_families(read_page(connection, "/metrics").decode())
        connection.close()
        return [(each.name, each.labels, each.value) for family in families for each in family.samples]

    def kill(self) -> None:
        self.service.process.kill()
        self.service.process.wait()


def read_page(connection: HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return body


def predict(connection: HTTPConnection) -> dict[str, Any]:
    connection.request("POST", "/predict", BODY, {"content-type": "application/json"})
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    assert response.status == 200, answer
    return answer
