"""Train over two network namespaces by torchrun, and compare with one process: make machines-check, as root.

The namespaces have a cable between them and nothing else, and each process has a folder of its own, as two
machines have. Prints JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from tests.support.exact_training import write_exact_spec

HOSTS = {"tailfuse-a": "10.77.0.1", "tailfuse-b": "10.77.0.2"}  # by namespace
PORT = 29_511
TIMEOUT_S = 600
TOLERANCE = 1e-4


def run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=60)


@contextmanager
def make_namespaces() -> Iterator[None]:
    """Make two namespaces with a cable between them, and remove them at the end."""
    first, second = HOSTS
    try:
        for name in HOSTS:
            run("ip", "netns", "add", name)
        run(
            "ip",
            "link",
            "add",
            "cable",
            "netns",
            first,
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            second,
        )
        for name, address in HOSTS.items():
            run("ip", "-n", name, "address", "add", f"{address}/30", "dev", "cable")
            run("ip", "-n", name, "link", "set", "cable", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name in HOSTS:
            subprocess.run(["ip", "netns", "delete", name], check=False, timeout=60)


def start(namespace: str, rank: int, spec: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start one machine's torchrun, whose process trains with the other's."""
    first = next(iter(HOSTS.values()))
    command = [
        "ip", "netns", "exec", namespace, sys.executable, "-m", "torch.distributed.run",
        "--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(rank),
        "--master-addr", first, "--master-port", str(PORT),
        "-m", "tailfuse", "train", str(spec), "--out", str(out), "--accelerator", "cpu",
    ]  # fmt: skip
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "cable", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def train_on_two(spec: Path, folder: Path) -> float:
    """Train in both namespaces, and return the seconds."""
    begun = time.perf_counter()
    with make_namespaces():
        machines = [start(name, rank, spec, folder / f"run-of-{name}") for rank, name in enumerate(HOSTS)]
        try:
            codes = [each.wait(TIMEOUT_S) for each in machines]
        finally:
            for each in machines:
                each.kill()
    if any(codes):
        raise SystemExit(f"torchrun ended with {codes}")
    return time.perf_counter() - begun


def train_on_one(spec: Path, out: Path) -> float:
    """Train in one process, and return the seconds."""
    begun = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "tailfuse",
        "train",
        str(spec),
        "--out",
        str(out),
        "--accelerator",
        "cpu",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S)
    return time.perf_counter() - begun


def measure_difference(one: Path, other: Path) -> float:
    """Return the largest difference of a weight between two runs."""
    first, second = (torch.load(run / "trained.pt") for run in (one, other))
    return max(float((first[name].float() - second[name].float()).abs().max()) for name in first)


def main() -> None:
    """Train both ways, and compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = write_exact_spec(folder, rows=4000, epochs=20)
        figures: Mapping[str, float] = {
            "one_process_s": round(train_on_one(spec, folder / "run"), 1),
            "two_machines_s": round(train_on_two(spec, folder), 1),
            "largest_difference": measure_difference(folder / "run", folder / "run-of-tailfuse-a"),
        }
        written = sorted(file.name for file in (folder / "run-of-tailfuse-b").glob("*"))
        print(json.dumps({**figures, "written_by_the_second": written}))
        if figures["largest_difference"] > TOLERANCE:
            raise SystemExit(f"a weight differs by more than {TOLERANCE}")


if __name__ == "__main__":
    main()
