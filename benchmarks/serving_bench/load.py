"""Apply load to a server, and measure its cost."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from serving_bench.process import read_cpu_s, read_memory
from serving_bench.workloads import Request

MIB = 1024 * 1024
TIMEOUT_S = 30  # for one answer
LUA = Path(__file__).with_name("load.lua")


class ServerFailed(Exception):
    """The server does not start, or its answers are wrong; the message says how."""


class Figures(NamedTuple):
    """One measurement of a server with one workload and number of connections."""

    per_s: float  # answers per second
    p50_ms: float
    p99_ms: float
    cpu_us: float  # CPU time of the server's processes per answer
    busy: float  # share of its core that the server used
    rss_mib: float  # pages shared by processes count in each of them
    pss_mib: float  # shared pages count once
    errors: int  # answers other than 2xx, broken connections, time-outs


def describe_generator() -> str:
    """Return the name of the load generator for the results."""
    return "wrk" if shutil.which("wrk") else "python (wrk is not installed)"


def make_generator_command(port: int, requests: Path, connections: int, seconds: int) -> list[str]:
    """Return a command that applies load for `seconds` and prints its figures as the last line."""
    if not shutil.which("wrk"):
        python = [sys.executable, "-m", "serving_bench.generator", str(requests)]
        return [*python, str(port), str(connections), str(seconds)]
    return [
        "wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
        "--timeout", f"{TIMEOUT_S}s", "--script", str(LUA), f"http://127.0.0.1:{port}", "--", str(requests),
    ]  # fmt: skip


def write_requests(path: Path, requests: Sequence[Request], *, port: int, target: str) -> None:
    """Write complete HTTP requests; a line with the length in bytes precedes each."""
    with path.open("wb") as file:
        for content_type, body in requests:
            head = (
                f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            file.write(b"%d\n" % (len(head) + len(body)) + head.encode() + body)


def apply_load(pid: int, port: int, requests: Path, *, connections: int, seconds: int, core: int) -> Figures:
    """Send requests without pause over `connections` for `seconds`, from `core`.

    CPU time is measured in the middle, without the start and the end of the load. The cost of an answer is
    the server's CPU time per second, divided by its answers per second. Raises ServerFailed.
    """
    generator = subprocess.Popen(
        make_generator_command(port, requests, connections, seconds),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    margin_s = seconds / 5
    time.sleep(margin_s)
    from_s, cpu_from_s = time.perf_counter(), read_cpu_s(pid)
    time.sleep(seconds - 2 * margin_s)
    to_s, cpu_to_s = time.perf_counter(), read_cpu_s(pid)
    memory = read_memory(pid)
    output, _ = generator.communicate(timeout=seconds + 2 * TIMEOUT_S)
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
