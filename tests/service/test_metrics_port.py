"""A port for /metrics alone: metrics tell what was predicted, and a scraper has no key."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tailfuse_service.bundle import Bundle
from tailfuse_service.settings import Settings

from tests.support.hostile.asking import as_post, own
from tests.support.hostile.wire import Wire
from tests.support.process import TIMEOUT_S, start_service

KEY = "a-key-of-the-caller"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n")
    return path


def test_the_port_is_on_loopback_if_there_are_keys(keys: Path) -> None:
    changes: dict[str, Any] = {"bundle": Path("b"), "host": "0.0.0.0", "metrics_port": 9000}
    assert Settings(**changes, allow_anonymous=True).metrics_address == "0.0.0.0"
    assert Settings(**changes, api_keys=keys).metrics_address == "127.0.0.1"
    assert Settings(**changes, api_keys=keys, metrics_host="10.0.0.1").metrics_address == "10.0.0.1"


@pytest.mark.e2e
def test_metrics_are_on_their_port_and_nothing_else_is(
    tiny_bundle: Path, bundle: Bundle, keys: Path, tmp_path: Path
) -> None:
    service = start_service(
        tiny_bundle, "--metrics-port", "0", "--api-keys", str(keys), log=tmp_path / "service.log"
    )
    try:
        url = next(line["url"] for line in service.log_lines() if line["message"] == "metrics started")
        with httpx2.Client(trust_env=False, timeout=TIMEOUT_S) as client:
            assert "tailfuse_ready 1.0" in client.get(url).text
            root = url.removesuffix("/metrics")
            assert client.get(f"{root}/healthz").status_code == 200
            assert client.get(f"{service.url}/metrics").status_code == 404
            assert client.get(f"{service.url}/healthz").status_code == 200
            key = {"x-api-key": KEY}
            assert client.get(f"{root}/model", headers=key).status_code == 404
            assert client.get(f"{service.url}/model", headers=key).status_code == 200
        request = as_post(own(1), x_api_key=KEY)
        with Wire(service) as wire:
            for _ in range(2):  # its head is cached now
                wire.send(request)
                answer = wire.answer()
                assert answer is not None
                assert answer.status == 200
        with Wire(replace(service, url=root)) as wire:
            wire.send(request)
            answer = wire.answer()
            assert answer is not None
            assert answer.status == 404
    finally:
        assert service.stop() == 0
