"""What the tests call a hang: it depends on how busy the machine is, not on how fast."""

import os
import subprocess
import sys
import time

import pytest

from tests.support.process import is_overdue, ran


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


def test_on_a_busy_machine_a_slow_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1e9, 0.0, 0.0))
    code = "import time; print(1); time.sleep(1); print(2)"
    assert ran(sys.executable, "-u", "-c", code, timeout=0.05).stdout == "1\n2\n"
