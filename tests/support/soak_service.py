"""The service that is soaked: pinned to one core, with keys, limits and a folder of bundles."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from tailfuse_service.bundle import Bundle, open_bundle

from tests.support.attacks.registry import Target
from tests.support.bundles import write_tiny_bundle
from tests.support.footprint import Footprint, measure_footprint
from tests.support.oip.tensors import MODEL, get_grpc_address
from tests.support.process import TIMEOUT_S, Service, start_service

GAUGES = {"tailfuse_requests_in_flight": 1.0, "tailfuse_queue_depth": 0.0}  # the 1 is the request that asks
N_CLIENTS = 8  # honest ones, each with an address and a key of its own
ATTACKER_KEY = "the-key-of-an-attacker"
MEMORY_MB = 512
TRIAL_TIMEOUT_S = 20  # the first bundle is tried too, at a low priority
# Twice the 32 connections that each honest client has; an attacker gets no more than that.
MAX_PER_CLIENT = 64


def get_key(client: int) -> str:
    return f"the-key-of-client-{client}"


@dataclass(frozen=True, slots=True)
class SoakService:
    """A running service, and the bundle whose answers are right."""

    service: Service
    bundle: Bundle
    target: Target

    @property
    def pid(self) -> int:
        return self.service.process.pid

    def read_gauges(self) -> dict[str, float]:
        text = httpx2.get(f"{self.service.url}/metrics", timeout=TIMEOUT_S, trust_env=False).text
        families = text_string_to_metric_families(text)
        return {each.name: each.samples[0].value for each in families if each.name in GAUGES}

    def measure(self) -> Footprint:
        return measure_footprint(self.pid)

    def read_log(self) -> list[dict[str, Any]]:
        return self.service.log_lines()


@contextmanager
def run_soak_service() -> Iterator[SoakService]:
    """Start a service and end it. Callers get the other cores, if there are any."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "models").mkdir()
        bundle = open_bundle(write_tiny_bundle(folder / "models" / "tiny"))
        keys = folder / "keys"
        known = {"attacker": ATTACKER_KEY, **{f"c{each}": get_key(each) for each in range(N_CLIENTS)}}
        keys.write_text("".join(f"{who}: {key}\n" for who, key in known.items()))
        # Affinity belongs to a thread and is inherited: the service has it from its first thread on.
        os.sched_setaffinity(0, cores[:1])
        try:
            service = start_service(folder / "models", *make_flags(keys), log=folder / "service.log")
        finally:
            os.sched_setaffinity(0, cores[1:] or cores)
        try:
            yield SoakService(service, bundle, make_target(service, folder / "models", keys))
        finally:
            os.sched_setaffinity(0, cores)
            service.process.kill()
            service.process.wait()


def make_flags(keys: Path) -> list[str]:
    flags = {
        "--api-keys": str(keys),
        "--default-model": MODEL,
        "--max-per-client": MAX_PER_CLIENT,
        "--memory-limit-mb": MEMORY_MB,
        "--trial-timeout-s": TRIAL_TIMEOUT_S,
        **({"--grpc-port": 0} if has_grpc() else {}),
    }
    return [str(each) for pair in flags.items() for each in pair]


def has_grpc() -> bool:
    with suppress(ImportError):
        import grpc  # noqa: F401

        return True
    return False


def make_target(service: Service, models: Path, keys: Path) -> Target:
    host, port = service.address
    return Target(
        host=host,
        port=port,
        grpc_port=int(get_grpc_address(service).rpartition(":")[2]) if has_grpc() else None,
        pid=service.process.pid,
        key=ATTACKER_KEY,
        models=str(models),
        keys=str(keys),
    )


def make_attack_order(target: Target, names: list[str], seconds: float) -> bytes:
    """Return what the process of attackers reads from its stdin."""
    return json.dumps({"target": target.as_json(), "names": names, "seconds": seconds}).encode()
