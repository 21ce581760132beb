"""A real Alertmanager on this machine, from its start to its end."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.support.monitoring.prometheus import address_in
from tests.support.process import TIMEOUT_S, is_overdue
from tests.support.programs import locate


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """A running Alertmanager."""

    process: subprocess.Popen[bytes]
    address: str

    def alerts(self) -> list[dict[str, Any]]:
        """Those that it holds and that are not resolved."""
        answer = httpx2.get(f"http://{self.address}/api/v2/alerts", timeout=60, trust_env=False)
        held: list[dict[str, Any]] = answer.raise_for_status().json()
        return held

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(TIMEOUT_S)


def start_alertmanager(config: Path, folder: Path) -> Alertmanager:
    """One that knows no others; data go into `folder`."""
    program = locate("prometheus-alertmanager")
    folder.mkdir(parents=True)
    log = folder / "alertmanager.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                program, f"--config.file={config}", f"--storage.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=", "--log.format=json",
            ],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    begun = time.monotonic()
    while process.poll() is None and not is_overdue(begun):
        if address := address_in(log):
            return Alertmanager(process, address)
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise AssertionError(f"Alertmanager did not start: {log.read_text()}")
