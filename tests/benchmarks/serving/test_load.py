"""What a server under load is found to have done and used."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving_bench import generator
from serving_bench.load import write_requests
from serving_bench.process import list_process_tree, read_cpu_s, read_memory
from serving_bench.workloads import Workload, make_request


def test_what_a_process_has_started_counts_with_it() -> None:
    script = "import subprocess, sys; subprocess.run(['sleep', '60'], stdin=sys.stdin)"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as parent:
        try:
            while len(tree := list_process_tree(parent.pid)) < 2:
                assert parent.poll() is None
            assert tree < list_process_tree(os.getpid())
            assert 0 < read_memory(parent.pid).pss <= read_memory(parent.pid).rss
            assert read_cpu_s(parent.pid) < read_cpu_s(os.getpid())
        finally:
            for pid in tree:
                os.kill(pid, 9)


def test_the_python_generator_counts_answers_and_refusals(
    tmp_path: Path, workloads: dict[str, Workload], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "requests"
    write_requests(
        path, [make_request("one", each) for each in workloads["tabular"].requests[:4]], port=1, target="/"
    )
    seen: list[bytes] = []
    callbacks: list[asyncio.Task[None] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callbacks.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError):  # the client has closed the connection
            while head := await reader.readuntil(b"\r\n\r\n"):
                seen.append(await reader.readexactly(int(head.split(b"Content-Length: ")[1])))
                status = b"200 OK" if len(seen) % 2 else b"503 Busy"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()
        await writer.wait_closed()

    async def load() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            await generator.main(path, server.sockets[0].getsockname()[1], connections=2, seconds=0.2)
        # A loop that ends before it has read the client's FIN leaves the server's sockets open.
        await asyncio.gather(*filter(None, callbacks))

    asyncio.run(load())
    found = json.loads(capsys.readouterr().out)
    assert found["answers"] == len(seen) >= 2
    assert (found["refused"], found["broken"]) == (len(seen) // 2, 0)
    assert set(seen) <= {request.split(b"\r\n\r\n")[1] for request in generator.read_requests(path)}
