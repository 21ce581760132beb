"""A real Prometheus on this machine, from its start to its end."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.support.process import TIMEOUT_S, is_overdue, until
from tests.support.programs import locate

Answer = list[dict[str, Any]]  # series as Prometheus' API tells them: metric, and value or values


class InvalidQuery(Exception):
    """Prometheus cannot evaluate it."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    process: subprocess.Popen[bytes]
    url: str

    def query(self, expr: str, at: float | None = None) -> Answer:
        """The series of an instant (Unix seconds); now, if none is given."""
        return self._ask("query", {"query": expr} | ({} if at is None else {"time": at}))

    def query_range(self, expr: str, start: float, end: float, step: float) -> Answer:
        """The series between two instants (Unix seconds), every `step` seconds."""
        return self._ask("query_range", {"query": expr, "start": start, "end": end, "step": step})

    def _ask(self, route: str, data: Mapping[str, Any]) -> Answer:
        answer = httpx2.post(f"{self.url}/api/v1/{route}", data=data, timeout=60, trust_env=False).json()
        if answer["status"] != "success":
            raise InvalidQuery(f"{answer['error']}: {data['query']}")
        result: Answer = answer["data"]["result"]
        return result

    def scraped_at(self) -> float:
        """Return the instant of the last scrape, once it succeeded; with one target.

        A scrape of a busy machine can time out, and for a second there are no series at all.
        """
        found: Answer = []

        def ask() -> bool:
            found[:] = self.query("timestamp(up == 1)")
            return bool(found)

        until(ask, "a scrape succeeds")
        return float(found[0]["value"][1])

    def label_values(self, label: str, selector: str, since: float) -> set[str]:
        """Return the label's values since then (Unix seconds), as Grafana asks for those of a variable."""
        found: list[str] = self.get(f"label/{label}/values", {"match[]": selector, "start": since})
        return set(found)

    def get(self, route: str, params: Mapping[str, Any] | None = None) -> Any:
        """The data of another route of the API: alerts, targets, rules."""
        asked = httpx2.get(f"{self.url}/api/v1/{route}", params=params, timeout=60, trust_env=False)
        return asked.json()["data"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(TIMEOUT_S)


def start_prometheus(
    folder: Path, targets: Sequence[str], *, scrape_s: float = 1, rule_files: Sequence[Path] = (),
    alertmanager: str | None = None,
) -> Prometheus:  # fmt: skip
    """Scrape targets (host:port) every `scrape_s` seconds, evaluate rules as often; data go into `folder`.

    Returns after the first scrape, which Prometheus takes five seconds to begin with.
    """
    program = locate("prometheus")
    interval = f"{round(scrape_s * 1000)}ms"
    config: dict[str, Any] = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(file.resolve()) for file in rule_files],
        "scrape_configs": [{"job_name": "tailfuse", "static_configs": [{"targets": list(targets)}]}],
    }
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    log = folder / "prometheus.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0", "--log.format=json",
            ],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    begun = time.monotonic()
    while process.poll() is None and not is_overdue(begun):
        if address := address_in(log):
            prometheus = Prometheus(process, f"http://{address}")
            if is_ready(prometheus) and len(prometheus.query("up")) == len(targets):
                return prometheus
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise AssertionError(f"Prometheus did not start: {log.read_text()}")


def address_in(log: Path) -> str | None:
    """The address that it listens on, if the log tells it yet."""
    for line in log.read_text().splitlines():
        if '"Listening on"' in line and '"address":"' in line:
            return line.split('"address":"')[1].split('"')[0]
    return None


def is_ready(prometheus: Prometheus) -> bool:
    try:
        return httpx2.get(f"{prometheus.url}/-/ready", timeout=5, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False
