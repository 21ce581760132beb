"""Puts a server under load, and takes what that costs it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from serving_bench.process import cpu_s, memory_of
from serving_bench.workloads import Request

MIB = 1024 * 1024
PATIENCE_S = 30  # longest wait for one answer
LUA = Path(__file__).with_name("load.lua")


class ServerFailed(Exception):
    """It cannot be started, or does not answer as it should; the message says how."""


class Figures(NamedTuple):
    """One server, one workload, one number of connections, once."""

    per_s: float  # answers per second
    p50_ms: float
    p99_ms: float
    cpu_us: float  # CPU time of the server's processes per answer
    busy: float  # share of its core that the server had
    rss_mib: float  # pages shared between its processes count in each
    pss_mib: float  # and here only once
    errors: int  # answers that are not 2xx, connections that broke, and answers that took too long


def generator_name() -> str:
    """The load generator that is used, for the results."""
    return "wrk" if shutil.which("wrk") else "python (wrk is not installed)"


def generator_command(port: int, requests: Path, connections: int, seconds: int) -> list[str]:
    """What prints the figures of `seconds` of load as its last line."""
    if not shutil.which("wrk"):
        own = [sys.executable, "-m", "serving_bench.generator", str(requests)]
        return [*own, str(port), str(connections), str(seconds)]
    return [
        "wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
        "--timeout", f"{PATIENCE_S}s", "--script", str(LUA), f"http://127.0.0.1:{port}", "--", str(requests),
    ]  # fmt: skip


def write_requests(path: Path, requests: Sequence[Request], *, port: int, target: str) -> None:
    """HTTP requests in full, each after a line with its length in bytes."""
    with path.open("wb") as file:
        for content_type, body in requests:
            head = (
                f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            file.write(b"%d\n" % (len(head) + len(body)) + head.encode() + body)


def put_under_load(
    pid: int, port: int, requests: Path, *, connections: int, seconds: int, core: int
) -> Figures:
    """`connections` ask without pause for `seconds`, from `core`.

    CPU time is taken in the middle of it, so that neither the first requests nor those that nobody
    waits for in the end count. What the server burns per second over what it answers per second is
    its cost. Raises ServerFailed.
    """
    generator = subprocess.Popen(
        generator_command(port, requests, connections, seconds),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    margin_s = seconds / 5
    time.sleep(margin_s)
    from_s, cpu_from_s = time.perf_counter(), cpu_s(pid)
    time.sleep(seconds - 2 * margin_s)
    to_s, cpu_to_s = time.perf_counter(), cpu_s(pid)
    memory = memory_of(pid)
    output, _ = generator.communicate(timeout=seconds + 2 * PATIENCE_S)
    if generator.returncode:
        raise ServerFailed(f"the load generator cannot reach it: {output.strip()}")
    found = json.loads(output.splitlines()[-1])
    if not found["answers"]:
        raise ServerFailed(f"no answer to {connections} connections in {seconds} s of load")
    per_s = found["answers"] / found["seconds"]
    busy = (cpu_to_s - cpu_from_s) / (to_s - from_s)
    return Figures(
        per_s=per_s,
        p50_ms=found["p50_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
        cpu_us=busy / per_s * 1e6,
        busy=busy,
        rss_mib=memory.rss / MIB,
        pss_mib=memory.pss / MIB,
        errors=found["refused"] + found["broken"],
    )
