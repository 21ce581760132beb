"""Caddy with the configuration of docs/DEPLOY.md, before a real service."""

import re
import subprocess
from pathlib import Path

import httpx2
import pytest
from tailfuse_service.settings import Settings

from tests.support.pages import read_blocks
from tests.support.ports import find_free_port
from tests.support.process import start_service, until
from tests.support.programs import locate

[BLOCK] = [block for block in read_blocks("docs/DEPLOY.md") if block.language == "caddy"]


@pytest.mark.e2e
@pytest.mark.needs("caddy")
def test_caddy_passes_requests_on_and_keeps_the_rest_inside(tiny_bundle: Path, tmp_path: Path) -> None:
    """On a port without TLS: only the host of the page has a name to get a certificate for."""
    service = start_service(tiny_bundle, log=tmp_path / "service.log")
    url = f"http://127.0.0.1:{find_free_port()}"
    config = BLOCK.text.replace("tailfuse.example.org", url).replace("http://127.0.0.1:8000", service.url)
    config = config.replace("127.0.0.1:8000", service.url.removeprefix("http://"))
    (tmp_path / "Caddyfile").write_text(f"{{\n    admin off\n}}\n{config}")
    with (tmp_path / "caddy.log").open("wb") as log:
        caddy = subprocess.Popen(
            [locate("caddy"), "run", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile"],
            stdout=log, stderr=log, env={"HOME": str(tmp_path)},
        )  # fmt: skip

    def answers() -> bool:
        assert caddy.poll() is None, (tmp_path / "caddy.log").read_text()
        try:
            return httpx2.get(f"{url}/readyz").is_success
        except httpx2.TransportError:
            return False

    try:
        until(answers, "Caddy answers")
        answer = httpx2.post(f"{url}/predict", json={"inputs": {"notes": "spot"}})
        assert answer.json()["modalities"]["notes"]["present"]
        for path in ("/metrics", "/admin/roles"):
            refused = httpx2.get(url + path)
            assert (refused.status_code, refused.text) == (404, "")  # the service's own has a problem
            assert httpx2.get(service.url + path).text
    finally:
        caddy.terminate()
        caddy.wait()
        assert service.stop() == 0


def test_its_bounds_are_those_of_the_service() -> None:
    fields = Settings.model_fields
    [size] = re.findall(r"max_size (\d+)MiB", BLOCK.text)
    [waited_s] = re.findall(r"response_header_timeout (\d+)s", BLOCK.text)
    assert int(size) << 20 == fields["max_body_bytes"].default
    assert int(waited_s) > fields["request_timeout_s"].default
