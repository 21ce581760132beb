"""CPU time of an empty gRPC call in grpcio's servers, by script: python benchmarks/grpc_floor.py [CALLS]

Each server returns the bytes that it gets, 300 of them, to 64 calls at a time from another process. Servers
take turns; the median of ROUNDS counts.
"""

import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

SERVERS = {
    "asyncio, a message": ["asyncio", "unary"],
    "asyncio, a stream of one message": ["asyncio", "stream"],
    "4 threads, a message": ["threads", "unary"],
    "4 threads, a stream of one message": ["threads", "stream"],
}
ROUNDS, WARM_UP, IN_FLIGHT, CONTENT = 5, 640, 64, b"x" * 300
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def make_handlers(kind: str, *, waits: bool) -> tuple[Any]:
    """Return the handlers of one method, which returns what it gets."""

    async def answer_later(message: bytes, _: Any) -> bytes:
        return message

    async def answer_stream_later(messages: AsyncIterator[bytes], _: Any) -> bytes:
        return await anext(messages)

    if kind == "unary":
        handler = grpc.unary_unary_rpc_method_handler(answer_later if waits else lambda message, _: message)
    else:
        handler = grpc.stream_unary_rpc_method_handler(
            answer_stream_later if waits else lambda messages, _: next(messages)
        )
    return (grpc.method_handlers_generic_handler("bench", {"call": handler}),)


def serve_with_threads(kind: str) -> None:
    """Serve until the process is killed."""
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(make_handlers(kind, waits=False))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


async def serve_with_asyncio(kind: str) -> None:
    """Serve until the process is killed."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(make_handlers(kind, waits=True))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


async def call(port: int, calls: int) -> None:
    """Make so many calls."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary("/bench/call")

        async def call_some() -> None:
            for _ in range(calls // IN_FLIGHT):
                await method(CONTENT)

        await asyncio.gather(*[call_some() for _ in range(IN_FLIGHT)])


def read_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def measure(server: list[str], calls: int) -> float:
    """Return the CPU time of a call in microseconds."""
    with subprocess.Popen([sys.executable, __file__, *server], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            load = [sys.executable, __file__, "call", port]
            subprocess.run([*load, str(WARM_UP)], check=True)
            before = read_cpu_s(process.pid)
            subprocess.run([*load, str(calls)], check=True)
            return (read_cpu_s(process.pid) - before) / calls * 1e6
        finally:
            process.kill()


def main(calls: int) -> None:
    """Measure the servers in turns; print a table."""
    found: dict[str, list[float]] = {name: [] for name in SERVERS}
    for _ in range(ROUNDS):
        for name, server in SERVERS.items():
            found[name].append(measure(server, calls))
    print("| grpcio's server | CPU us |\n|---|---:|")
    for name, each in found.items():
        print(f"| {name} | {statistics.median(each):.0f} |")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["asyncio", kind]:
            asyncio.run(serve_with_asyncio(kind))
        case ["threads", kind]:
            serve_with_threads(kind)
        case ["call", port, calls]:
            asyncio.run(call(int(port), int(calls)))
        case arguments:
            main(int(arguments[0]) if arguments else 6400)
