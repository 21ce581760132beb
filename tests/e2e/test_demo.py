"""`tailfuse demo`, the second time: it serves the bundle that is there, and its curl lines work."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import find_free_port
from tests.support.process import TIMEOUT_S, environment, ran

pytestmark = pytest.mark.e2e


@pytest.fixture
def demo(run: Path, quickstart: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, in the folder above the quick-start's and a process group of its own, as in a terminal."""
    command = [sys.executable, "-m", "tailfuse", "demo", "--port", str(find_free_port())]
    with (tmp_path / "demo.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=quickstart.parent, text=True, stdout=subprocess.PIPE, stderr=log,
            env=environment(PYTHONUNBUFFERED="1"), start_new_session=True,
        )  # fmt: skip
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.stdout is not None
    process.stdout.close()


def curl_lines(process: subprocess.Popen[str]) -> list[str]:
    """The requests that the demo prints, as typed into a shell."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("The report:"):
            break
    joined = printed.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip().startswith("curl ")]


def answer_to(command: str, folder: Path) -> Any:
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ctrl_c(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.needs("curl")
@pytest.mark.parametrize("stop", [ctrl_c, subprocess.Popen.terminate], ids=["Ctrl-C", "SIGTERM"])
def test_its_curl_lines_are_answered_and_nothing_is_left_behind(
    demo: subprocess.Popen[str], quickstart: Path, stop: Callable[[subprocess.Popen[str]], None]
) -> None:
    lines = curl_lines(demo)
    present = [
        {name for name, each in answer_to(line, quickstart.parent)["modalities"].items() if each["present"]}
        for line in lines
    ]
    assert present == [{"image"}, {"fourier", "shape"}, {"image", "fourier", "shape"}]
    stop(demo)
    assert demo.wait(TIMEOUT_S) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(re.findall(r":(\d+)/predict", lines[0])[0])), TIMEOUT_S)


def test_a_port_in_use_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = ran(sys.executable, "-m", "tailfuse", "demo", "--port", port, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"Error: port {port}: address already in use; choose another --port\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_it_warns_of_nothing_and_ctrl_c_says_how_to_continue(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tailfuse", "demo", "--no-serve", "--folder", "my digits"]
    with subprocess.Popen(
        command, cwd=tmp_path, text=True, stderr=subprocess.PIPE, env=environment(), start_new_session=True
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line.strip())
            if line.startswith("reading shape"):  # the last that is read of the table
                break
            assert process.poll() is None, lines
        ctrl_c(process)
        *_, again, demo = [*lines, *process.stderr.read().splitlines()]
        assert process.wait(TIMEOUT_S) == 130
    assert (
        again == "Stopped. Continue with: tailfuse train --resume 'my digits/spec.yaml' --out 'my digits/run'"
    )
    assert demo == "or with: tailfuse demo --no-serve --folder 'my digits'"
    assert not [line for line in lines if "WARNING" in line]
    assert not list(tmp_path.rglob(".*"))
