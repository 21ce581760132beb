"""What the tests call a hang: it depends on how busy the machine is, not on how fast."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.process import is_overdue, ran, stop_group, until


@pytest.mark.parametrize(
    ("load", "overdue"), [(0.0, True), (2.0, True), (8.0, True), (8.2, False), (100.0, False)]
)
def test_a_busy_machine_has_more_time(load: float, overdue: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 seconds each of eight processes on two cores had ten."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(time, "monotonic", lambda: 140.5)
    assert is_overdue(100.0, seconds=10) is overdue


def test_a_command_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    with pytest.raises(subprocess.TimeoutExpired):
        ran("sleep", "3600", timeout=0.1)


def test_what_a_script_has_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    begin = "trap 'echo ended > trap; kill $server' EXIT\nsetsid sleep 3600 & server=$!\necho $! > pid"
    with pytest.raises(subprocess.TimeoutExpired):
        ran("bash", "-c", f"{begin}\nsleep 3600", cwd=tmp_path, timeout=1)
    assert (tmp_path / "trap").read_text() == "ended\n"
    until(lambda: not is_running(int((tmp_path / "pid").read_text())), "the server has ended")


def test_one_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen(
        ["bash", "-c", "trap '' TERM; echo; while :; do sleep 1; done"],
        stdout=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        stop_group(process, patience_s=0.5)
        assert process.wait() == -signal.SIGKILL


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_on_a_busy_machine_a_slow_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1e9, 0.0, 0.0))
    code = "import time; print(1); time.sleep(1); print(2)"
    assert ran(sys.executable, "-u", "-c", code, timeout=0.05).stdout == "1\n2\n"


def test_a_command_reads_what_it_is_given() -> None:
    assert ran("cat", input="a\n").stdout == "a\n"
    assert ran("cat").stdout == ""
