"""Compose's replicas behind a proxy, without running them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tailfuse_service.settings import Settings

from tests.support.containers import ROOT, SCALED, compose, read_services
from tests.support.process import ran
from tests.support.programs import locate


@pytest.fixture(scope="module")
def scaled() -> dict[str, Any]:
    """Return every service behind the proxy."""
    return read_services("-f", str(SCALED))


def test_replicas_have_no_port_of_the_host_and_the_proxy_has_theirs(scaled: dict[str, Any]) -> None:
    assert "ports" not in scaled["service"]
    assert "ports" not in scaled["service-gpu"]
    assert scaled["proxy"]["ports"] == read_services()["service"]["ports"]
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
