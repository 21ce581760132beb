"""Measure the cost of several models: `make bench-models`. Swaps under load, a canary, a shadow.

The configurations of one service take turns. The load generator has a separate core.
"""

import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

import click
from prometheus_client.parser import text_string_to_metric_families
from tailfuse_service.bundle import MANIFEST, open_bundle

from serving_bench.bundle import prepare_bundle
from serving_bench.load import Figures, apply_load, write_requests
from serving_bench.servers import Running, Server, run_server
from serving_bench.workloads import Workload, make_request, make_workloads

KEY = "bench-0123456789abcdef"
SERVICE = "-m", "tailfuse_service", "{bundle}", "--port", "{port}", "--admin-keys"
SHOWN_PAIRS = 8
ROLES: Mapping[str, Any] = {
    "stable alone": {"stable": "1"},
    "canary, share 0.1": {"stable": "1", "canary": {"version": "2", "share": 0.1}},
    "shadow, share 1.0": {"stable": "1", "shadow": {"version": "2", "share": 1.0}},
}


@click.command()
@click.option("--connections", default=64, show_default=True)
@click.option("--seconds", default=8, show_default=True, help="Length of one load.")
@click.option("--rounds", default=3, show_default=True, help="Number of rounds; results are medians.")
@click.option("--swap-every", default=0.5, show_default=True, help="Seconds between two versions.")
@click.option("--folder", type=click.Path(path_type=Path), default="bench-serve", show_default=True)
def command(connections: int, seconds: int, rounds: int, swap_every: float, folder: Path) -> None:
    """Measure swaps under load and the cost of a canary and a shadow; print a shadow's report."""
    source = prepare_bundle(folder)
    workload = make_workloads(open_bundle(source))["mix"]

    def load(service: "Service", connections: int = connections) -> Figures:
        return apply_load(
            service.pid, service.port, service.requests, connections=connections, seconds=seconds, core=0
        )

    print("| | answers/s | p50, ms | p99, ms | CPU, us | errors |\n|---|---|---|---|---|---|")
    with run_service(source, workload) as service:
        swaps: list[int] = []
        found: dict[str, list[Figures]] = {"no swaps": [], "swaps": []}
        for _ in range(rounds):
            found["no swaps"].append(load(service))
            with swap_versions(service, swap_every, swaps):
                found["swaps"].append(load(service))
        print_medians(found)
    with run_service(source, workload) as service:
        service.put("2", "2")
        found = {name: [] for name in ROLES}
        for _ in range(rounds):
            for name, roles in ROLES.items():
                service.call("PUT", f"/admin/models/{service.name}/roles", roles)
                found[name].append(load(service))
        print_medians(found)
    print(f"\n{len(swaps)} swaps; each opened, checked and warmed a bundle\n")
    with run_service(source, workload) as service:
        service.put("2", "2", rotate_class_names)
        service.call("PUT", f"/admin/models/{service.name}/roles", ROLES["shadow, share 1.0"])
        load(service, connections=1)  # a service at capacity would drop most shadow samples
        print_shadow_report(service)


class Service:
    """A service on a folder of bundles, which are copies of `source`."""

    def __init__(self, source: Path, folder: Path, run_server: Running, requests: Path) -> None:
        self.name = json.loads((source / MANIFEST).read_text())["name"]
        self.pid, self.port, self.requests = run_server.pid, run_server.port, requests
        self._source, self._folder = source, folder

    def call(self, method: str, path: str, body: Any = None) -> bytes:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body else None, {"X-API-Key": KEY})
            response = connection.getresponse()
            answer = response.read()
            assert response.status == 200, answer
            return answer
        finally:
            connection.close()

    def put(self, entry: str, version: str, change: "Change | None" = None) -> None:
        """Put a bundle in the folder in place of the previous one, and load it."""
        copy_bundle(self._source, self._folder, entry, version, change)
        self.call("POST", "/admin/reload")


Change = Callable[[dict[str, Any]], None]


def copy_bundle(source: Path, folder: Path, entry: str, version: str, change: Change | None = None) -> None:
    """Copy a bundle with another version; `change` edits its manifest."""
    temporary = Path(shutil.copytree(source, folder / f".{entry}"))
    manifest = json.loads((temporary / MANIFEST).read_text())
    manifest["version"] = version
    if change is not None:
        change(manifest)
    (temporary / MANIFEST).write_text(json.dumps(manifest))
    old = folder / f".{entry}.old"
    if (folder / entry).exists():
        (folder / entry).rename(old)
    temporary.rename(folder / entry)
    shutil.rmtree(old, ignore_errors=True)


def rotate_class_names(manifest: dict[str, Any]) -> None:
    """Rotate the names of three classes."""
    names = [info["name"] for info in manifest["classes"][:3]]
    for info, name in zip(manifest["classes"], [*names[1:], names[0]], strict=False):
        info["name"] = name


@contextmanager
def run_service(source: Path, workload: Workload) -> Iterator[Service]:
    """Run a service, pinned to a core as in bench-serve."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, keys, requests = (Path(temporary) / name for name in ("bundles", "keys", "requests"))
        folder.mkdir()
        keys.write_text(KEY)
        copy_bundle(source, folder, "1", "1")
        server = Server("tailfuse", (*SERVICE, str(keys)), {workload.shape: "/predict", "one": "/predict"})
        log = Path(temporary) / "log"
        with run_server(server, Path(sys.executable), folder, workload, cores={1}, log=log) as started:
            all_of_them = [make_request(workload.shape, each) for each in workload.requests]
            write_requests(requests, all_of_them, port=started.port, target="/predict")
            yield Service(source, folder, started, requests)


@contextmanager
def swap_versions(service: Service, every_s: float, swaps: list[int]) -> Iterator[None]:
    """Put a new version every `every_s` seconds; append each version to `swaps`."""
    stopped = threading.Event()

    def swap() -> None:
        while not stopped.wait(every_s):
            swaps.append(len(swaps) + 2)
            service.put("1", str(swaps[-1]))

    thread = threading.Thread(target=swap)
    thread.start()
    yield
    stopped.set()
    thread.join()


def print_medians(found: Mapping[str, list[Figures]]) -> None:
    """Print a row of medians for each configuration; errors are summed."""
    for name, each in found.items():
        per_s, p50, p99, cpu = (median(row[at] for row in each) for at in range(4))
        errors = sum(row.errors for row in each)
        print(f"| {name} | {per_s:,.0f} | {p50:.1f} | {p99:.1f} | {cpu:.0f} | {errors} |")


def print_shadow_report(service: Service) -> None:
    """Print the shadow's metrics by subset and by pair of labels."""
    families = text_string_to_metric_families(service.call("GET", "/metrics").decode())
    found = [sample for family in families for sample in family.samples]
    samples = {
        (each.labels["subset"], each.labels["outcome"]): each.value
        for each in found
        if each.name == "tailfuse_shadow_samples_total"
    }
    pairs = [
        (each.value, each.labels["label"], each.labels["shadow_label"])
        for each in found
        if each.name == "tailfuse_shadow_disagreements_total"
    ]
    print("| subset | agree | disagree | failed | dropped |\n|---|---|---|---|---|")
    for subset in sorted({key[0] for key in samples}):
        agree, disagree, failed, dropped = (
            samples.get((subset, outcome), 0.0) for outcome in ("agree", "disagree", "failed", "dropped")
        )
        share = disagree / max(agree + disagree, 1)
        counts = f"{agree:.0f} | {disagree:.0f} ({share:.0%}) | {failed:.0f} | {dropped:.0f}"
        print(f"| {subset} | {counts} |")
    print("\n| stable says | shadow says | samples |\n|---|---|---|")
    for n, label, shadow_label in sorted(pairs, reverse=True)[:SHOWN_PAIRS]:
        print(f"| {label} | {shadow_label} | {n:.0f} |")


if __name__ == "__main__":
    command()
