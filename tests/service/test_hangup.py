"""SIGHUP: at any moment of a start it is kept for later, and it stops only what ran in a closed terminal."""

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest
from tailfuse_service.process import hangup
from tailfuse_service.process.hangup import HangUps, block_hang_ups, is_terminal_closed

from tests.support.process import Service, start_service, until

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")

# Run as `python -c`: the service, which gets SIGHUP when it imports a module.
HUNG_UP_AT_IMPORT = """
import os, runpy, signal, sys

def hang_up(event, arguments):
    if event == "import" and arguments[0] == "{module}":
        os.kill(os.getpid(), signal.SIGHUP)

sys.addaudithook(hang_up)
runpy.run_module("tailfuse_service", run_name="__main__", alter_sys=True)
"""
# Python runs it before anything else. A worker gets SIGHUP there.
SITE = """
import os, signal, sys

if "tailfuse_service.process.worker" in sys.orig_argv:
    os.kill(os.getpid(), signal.SIGHUP)
"""


def count_reloads(service: Service) -> int:
    return sum(line["message"] == "bundle loaded" for line in service.log_lines())


@pytest.mark.e2e
@pytest.mark.parametrize("module", ["click", "tailfuse_service.settings", "uvicorn", "tailfuse_service.app"])
def test_a_hang_up_during_the_imports_is_a_reload_after_the_start(
    module: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    script = HUNG_UP_AT_IMPORT.format(module=module)
    service = start_service(tiny_bundle, log=tmp_path / "log", program=("-c", script))
    until(lambda: count_reloads(service) == 1, "the bundle was opened again")
    assert service.stop() == 0


@pytest.mark.e2e
def test_a_hang_up_right_after_a_worker_s_exec_is_a_reload_after_its_start(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    service = start_service(tiny_bundle, "--workers", "2", log=tmp_path / "log")
    until(lambda: count_reloads(service) == 2, "both workers opened the bundle again")
    assert service.stop() == 0
    assert not any(line["message"] == "worker died" for line in service.log_lines())


def test_a_hang_up_before_the_handler_exists_is_not_lost() -> None:
    calls: list[str] = []

    async def scenario(hang_ups: HangUps) -> None:
        hang_ups.handle(lambda: calls.append("reload"), lambda: calls.append("stop"))
        assert calls == ["reload"]
        os.kill(os.getpid(), signal.SIGHUP)
        while len(calls) < 2:
            await asyncio.sleep(0.001)

    before = signal.getsignal(signal.SIGHUP)
    try:
        hang_ups = HangUps()
        os.kill(os.getpid(), signal.SIGHUP)
        asyncio.run(scenario(hang_ups))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert calls == ["reload", "reload"]


def test_a_blocked_hang_up_is_remembered_once_the_handler_exists() -> None:
    calls: list[str] = []

    async def scenario() -> None:
        hang_ups.handle(lambda: calls.append("reload"), lambda: calls.append("stop"))

    before = signal.getsignal(signal.SIGHUP)
    try:
        with block_hang_ups():
            signal.pthread_kill(threading.get_ident(), signal.SIGHUP)  # others do not block it
            hang_ups = HangUps()
        asyncio.run(scenario())
    finally:
        signal.signal(signal.SIGHUP, before)
    assert calls == ["reload"]


def test_overlapping_blocks_leave_nothing_blocked() -> None:
    first, second = block_hang_ups(), block_hang_ups()
    for each in (first, second):
        each.__enter__()
        assert signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    for each in (first, second):
        each.__exit__(None, None, None)
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_only_a_closed_terminal_is_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    terminal, inside = os.openpty()
    monkeypatch.setattr(hangup, "STDIN", inside)
    assert not is_terminal_closed()
    os.close(terminal)
    assert is_terminal_closed()
    os.close(inside)
    assert not is_terminal_closed()  # no standard input at all
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setattr(hangup, "STDIN", file.fileno())
        assert not is_terminal_closed()
