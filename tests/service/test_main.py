"""The process: what stops it, and how it stops."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tailfuse_service.__main__ import serve
from tailfuse_service.settings import Settings


def test_a_port_in_use_is_one_sentence(tiny_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as stop:
            serve(Settings(bundle=tiny_bundle, port=port))
    assert stop.value.code == f"tailfuse: cannot listen on 127.0.0.1:{port}: Address already in use"


def test_a_bundle_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        serve(Settings(bundle=tmp_path / "nowhere"))
    assert stop.value.code == f"tailfuse: {tmp_path / 'nowhere'}: no such bundle"


@pytest.mark.e2e
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_cleanly(tiny_bundle: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "tailfuse_service", str(tiny_bundle), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            started = json.loads(process.stderr.readline())
            assert started["message"] == "started"
            assert started["model"] == "skin-lesions"
            with urllib.request.urlopen(f"{started['url']}/readyz", timeout=30) as response:
                assert response.status == 200
            process.send_signal(how)
            rest = process.stderr.read()
            assert process.wait(30) == 0
            assert json.loads(rest)["message"] == "stopped"
        finally:
            process.kill()
