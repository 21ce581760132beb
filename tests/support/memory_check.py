"""Is a service in a real control group of limited memory ever killed, whatever is sent?

`python -m tests.support.memory_check --limit-mb 512` (as root, on Linux with control groups of version 1 or
2) trains a small model of images, series and numbers, starts the service in a group of that size, and sends
at once what takes most memory, beside callers who ask for small predictions. It exits with 1 if the kernel
killed the service, or if an honest caller got a wrong answer or another error than 429 and 503.
"""

import argparse
import asyncio
import io
import json
import os
import sys
import tempfile
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import orjson
import polars as pl
from PIL import Image

from tests.support.oip.half_message import send_half_messages
from tests.support.oip.tensors import get_grpc_address
from tests.support.process import Service, ran, start_service

Ask = Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]]

SPEC = """\
name: memory
table: table.parquet
label: label
split: {val: 0.2, test: 0.2}
modalities:
  image: {kind: image, column: image, size: 64}
  sound: {kind: series, column: sound, length: 512, encoder: conv}
  numbers: {kind: tabular, columns: [a, b]}
training: {epochs: 20, folds: 0}
"""
HALVES, CALLERS, HONEST = 60, 48, 16
HALF_MESSAGES = 60  # of gRPC
INFER = "/inference.GRPCInferenceService/ModelInfer"
HONEST_ROW = {"inputs": {"numbers": {"a": 0.5, "b": -0.5}}}
HONEST_PAUSE_S = 0.02
MAX_HELD_BYTES = 1024  # at the end: the request that asks for it
MAX_BODY_BYTES = 16 * 1024 * 1024


def train_bundle(folder: Path) -> Path:
    """Train a model of all kinds whose values can be large, and return its bundle."""
    random = np.random.default_rng(0)
    rows = [
        {
            "label": "ab"[number % 2],
            "image": encode(Image.fromarray(random.integers(0, 255, (64, 64, 3), np.uint8)), "PNG"),
            "sound": random.normal(size=600).tolist(),
            "a": random.normal() + number % 2,
            "b": random.normal(),
        }
        for number in range(80)
    ]
    pl.DataFrame(rows).write_parquet(folder / "table.parquet")
    (folder / "spec.yaml").write_text(SPEC)
    done = ran(
        sys.executable, "-m", "tailfuse", "train", str(folder / "spec.yaml"), "--out", str(folder / "run")
    )
    assert done.returncode == 0, done.stderr
    return folder / "run" / "bundle"


@contextmanager
def limited_group(limit_bytes: int) -> Iterator[Path]:
    """Make a control group with a limit of memory and no swap, and remove it at the end."""
    root = Path("/sys/fs/cgroup")
    is_v1 = (root / "memory").is_dir()
    group = (root / "memory" if is_v1 else root) / f"tailfuse-{os.getpid()}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if is_v1 else "memory.max")).write_text(str(limit_bytes))
        swap = group / ("memory.memsw.limit_in_bytes" if is_v1 else "memory.swap.max")
        if swap.exists():
            swap.write_text(str(limit_bytes) if is_v1 else "0")
        yield group
    finally:
        group.rmdir()


def read_group(group: Path) -> dict[str, int]:
    """Return the peak of the group's memory, and how often the kernel killed in it."""
    peak = next(
        int((group / name).read_text())
        for name in ("memory.max_usage_in_bytes", "memory.peak")
        if (group / name).exists()
    )
    events = next(group / name for name in ("memory.oom_control", "memory.events") if (group / name).exists())
    counts = dict(line.split() for line in events.read_text().splitlines())
    return {"peak_mb": peak >> 20, "oom_kills": int(counts["oom_kill"])}


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def make_values() -> dict[str, dict[str, bytes]]:
    """Make the values that take most memory: by modality and name."""
    noise = np.random.default_rng(0).integers(0, 255, (3000, 3000, 3), np.uint8)
    flat = Image.new("RGB", (6500, 6500))
    npy = io.BytesIO()
    np.save(npy, np.ones(11_000_000, np.int8))
    images = {
        "PNG": encode(flat, "PNG"),
        "PNG-palette": encode(flat.convert("P"), "PNG"),
        "PNG-noise": encode(Image.fromarray(noise[:1600, :1600]), "PNG"),
        "JPEG": encode(Image.fromarray(noise), "JPEG", quality=80),
        "JPEG-progressive": encode(flat, "JPEG", progressive=True, subsampling=0),
        "JPEG-CMYK": encode(flat.convert("CMYK"), "JPEG"),
        "WEBP": encode(Image.new("RGB", (6000, 6000)), "WEBP", lossless=True, quality=0, method=0),
        "TIFF-int32": encode(Image.new("I", (6500, 6500)), "TIFF", compression="tiff_adobe_deflate"),
        "GIF": encode(flat.convert("P"), "GIF"),
    }
    sounds = {
        "CSV": b"1\n" * 5_500_000,
        "NPY": npy.getvalue(),
        "JSON": b"[" + b"[1]," * 2_800_000 + b"[1]]",
    }
    return {"image": images, "sound": sounds}


def make_attacks() -> dict[str, Ask]:
    """Make the requests that take most memory, by name."""
    attacks: dict[str, Ask] = {}

    def post(name: str, path: str, content: bytes, kind: str = "application/json") -> None:
        async def ask(client: httpx2.AsyncClient) -> httpx2.Response:
            return await client.post(path, content=content, headers={"content-type": kind})

        attacks[name] = ask

    def form(name: str, modality: str, value: bytes) -> None:
        async def ask(client: httpx2.AsyncClient) -> httpx2.Response:
            return await client.post("/predict", files={modality: value})

        attacks[name] = ask

    for modality, values in make_values().items():
        for name, value in values.items():
            form(f"form {name}", modality, value)
            text = b64encode(value).decode()
            post(f"JSON {name}", "/predict", orjson.dumps({"inputs": {modality: text}}))
            n = max(1, min(64, 12_000_000 // len(text)))
            items = [{"inputs": {modality: text}}] * n
            post(f"batch {name} x {n}", "/predict/batch", orjson.dumps({"items": items}))
    deep = b"[" * 30 + b"]" * 30
    post("nested", "/predict", b'{"inputs": {"sound": [' + b",".join([deep] * 8000) + b"]}}")
    post("wide text", "/predict", '{{"inputs": {{"sound": "{}😀"}}}}'.format("a" * 15_000_000).encode())
    post("numbers", "/predict", orjson.dumps({"inputs": {"sound": [1.5] * 480_000}}))
    rows = [[1.5]] * 480_000
    tensor = {"name": "sound", "shape": [1, 480_000, 1], "datatype": "FP64", "data": [rows]}
    post("v2", "/v2/models/memory/infer", orjson.dumps({"inputs": [tensor]}))
    return attacks


async def send_half(address: tuple[str, int], end: float) -> None:
    """Send almost all of a large body, then a byte from time to time, until it is refused; then again."""
    head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: {MAX_BODY_BYTES}\r\n\r\n".encode()
    while time.monotonic() < end:
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(head)
            sent = 0
            while sent < MAX_BODY_BYTES - 100_000 and time.monotonic() < end and not reader.at_eof():
                writer.write(b" " * 100_000)
                sent += 100_000
                await asyncio.wait_for(writer.drain(), 1)
            while time.monotonic() < end and not reader.at_eof():
                writer.write(b" ")
                await asyncio.sleep(0.5)
        except (OSError, TimeoutError):
            pass
        finally:
            writer.transport.abort()
        await asyncio.sleep(0.05)


async def send_attacks(
    url: str, attacks: list[tuple[str, Ask]], end: float, seen: dict[str, Counter[str]]
) -> None:
    """Send one attack after the other; note the status of each."""
    async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        at = 0
        while time.monotonic() < end:
            name, ask = attacks[at % len(attacks)]
            at += 1
            try:
                status = str((await ask(client)).status_code)
            except httpx2.HTTPError as error:
                status = type(error).__name__
            seen.setdefault(name, Counter())[status] += 1


async def be_honest(url: str, expected: dict[str, Any], end: float, seen: Counter[str]) -> None:
    """Ask for the same small prediction again and again."""
    async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        while time.monotonic() < end:
            try:
                answer = await client.post("/predict", json=HONEST_ROW)
                is_right = answer.status_code != 200 or answer.json()["probabilities"] == expected
                seen[str(answer.status_code) if is_right else "wrong"] += 1
            except httpx2.HTTPError as error:
                seen[type(error).__name__] += 1
            await asyncio.sleep(HONEST_PAUSE_S)


async def send_all(service: Service, seconds: float) -> dict[str, Any]:
    """Send everything at once for so long."""
    answer = httpx2.post(f"{service.url}/predict", json=HONEST_ROW, trust_env=False).json()
    attacks = list(make_attacks().items())
    end = time.monotonic() + seconds
    honest: Counter[str] = Counter()
    attacked: dict[str, Counter[str]] = {}
    async with asyncio.TaskGroup() as group:
        for _ in range(HALVES):
            group.create_task(send_half(service.address, end))
        host, _, port = get_grpc_address(service).rpartition(":")
        halves = [
            group.create_task(send_half_messages((host, int(port)), INFER, MAX_BODY_BYTES - 1, end))
            for _ in range(HALF_MESSAGES)
        ]
        for number in range(CALLERS):
            order = attacks[number % len(attacks) :] + attacks[: number % len(attacks)]
            group.create_task(send_attacks(service.url, order, end, attacked))
        for _ in range(HONEST):
            group.create_task(be_honest(service.url, answer["probabilities"], end, honest))
    return {
        "honest": dict(honest),
        "half messages refused": sum(each.result() for each in halves),
        "attacks": {name: dict(each) for name, each in sorted(attacked.items())},
    }


def check(bundle: Path, limit_mb: int, seconds: float, folder: Path, *flags: str) -> dict[str, Any]:
    """Run the service in a group of that size and send everything to it."""
    with limited_group(limit_mb * 2**20) as group:
        join = f"import os, runpy, sys; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        join += "sys.argv[0] = 'tailfuse_service'; runpy.run_module('tailfuse_service', run_name='__main__')"
        service = start_service(
            bundle, "--grpc-port", "0", *flags, log=folder / f"{limit_mb}.log", program=("-c", join)
        )
        try:
            started = read_group(group)
            report = asyncio.run(send_all(service, seconds))
            time.sleep(2)
            metrics = httpx2.get(f"{service.url}/metrics", trust_env=False, timeout=60).text
            report["held_bytes"] = float(metrics.partition("\ntailfuse_memory_held_bytes ")[2].split()[0])
        finally:
            code = service.stop()
            figures = read_group(group)
            while (group / "cgroup.procs").read_text():
                time.sleep(0.05)
    figures |= {"limit_mb": limit_mb, "started_mb": started["peak_mb"], "exit_code": code}
    return figures | report


def is_good(report: dict[str, Any]) -> bool:
    """Return whether nobody was killed, and every honest answer was right or an honest refusal."""
    return (
        not report["oom_kills"]
        and report["exit_code"] == 0
        and report["held_bytes"] < MAX_HELD_BYTES
        and set(report["honest"]) <= {"200", "429", "503"}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit-mb", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--seconds", type=float, default=60.0)
    options, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = train_bundle(folder)
        reports = [check(bundle, limit, options.seconds, folder, *flags) for limit in options.limit_mb]
    print(json.dumps(reports, indent=1))
    sys.exit(0 if all(map(is_good, reports)) else 1)


if __name__ == "__main__":
    main()
