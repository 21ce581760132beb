"""Load generator in Python where wrk is not installed: slower, with the same output as load.lua."""

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from itertools import cycle
from pathlib import Path

import numpy as np


async def send_requests(
    port: int, requests: "cycle[bytes]", until: float, latencies_s: list[float], errors: Counter[str]
) -> None:
    """Send requests over one connection, each as soon as the previous one is answered."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer):
            while time.perf_counter() < until:
                begun = time.perf_counter()
                writer.write(next(requests))
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
                latencies_s.append(time.perf_counter() - begun)
                if not head.split(b" ", 2)[1].startswith(b"2"):
                    errors["refused"] += 1
        await writer.wait_closed()
    except (OSError, ValueError, EOFError):
        errors["broken"] += 1


async def main(path: Path, port: int, connections: int, seconds: float) -> None:
    """Apply load, and print the figures as load.lua does."""
    requests = cycle(read_requests(path))
    latencies_s: list[float] = []
    errors: Counter[str] = Counter()
    begun = time.perf_counter()
    senders = (
        send_requests(port, requests, begun + seconds, latencies_s, errors) for _ in range(connections)
    )
    await asyncio.gather(*senders)
    figures = {
        "answers": len(latencies_s),
        "seconds": time.perf_counter() - begun,
        "p50_us": float(np.percentile(latencies_s or [0.0], 50)) * 1e6,
        "p99_us": float(np.percentile(latencies_s or [0.0], 99)) * 1e6,
        "refused": errors["refused"],
        "broken": errors["broken"],
    }
    print(json.dumps(figures))


def read_requests(path: Path) -> list[bytes]:
    """Read the requests of a file; a line with the length precedes each."""
    requests = []
    with path.open("rb") as file:
        while length := file.readline():
            requests.append(file.read(int(length)))
    return requests


if __name__ == "__main__":
    file, port, connections, seconds = sys.argv[1:]
    asyncio.run(main(Path(file), int(port), int(connections), float(seconds)))
