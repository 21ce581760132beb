"""A real `python -m tailfuse_service`, from its start to its end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 120  # on cores of its own nothing takes that long: a test that waits for it fails


@dataclass(frozen=True, slots=True)
class Service:
    """A running service and the file that it logs to."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to stop; its exit code."""
        self.process.send_signal(how)
        return self.process.wait(TIMEOUT_S)

    def log_lines(self) -> list[dict[str, Any]]:
        return whole_lines(self.log)


def start_service(
    bundle: Path | str, *flags: str, log: Path, program: Sequence[str] = ("-m", "tailfuse_service"),
    stdin: int = subprocess.DEVNULL,
) -> Service:  # fmt: skip
    """Start a service on a free port, and wait until it says that it has started."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *program, str(bundle), "--port", "0", *flags],
            stdin=stdin, stdout=file, stderr=file, env=environment(),
        )  # fmt: skip
    begun = time.monotonic()
    while process.poll() is None and not is_overdue(begun):
        for line in whole_lines(log):
            if line["message"] == "started":
                return Service(process, line["url"], log)
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise AssertionError(f"the service did not start: {log.read_text()}")


def environment(**more: str) -> dict[str, str]:
    """This process's own, without what would configure the service."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("TAILFUSE_") or key == "TAILFUSE_CACHE"  # that of training
    }
    return {**kept, **more}


def whole_lines(log: Path) -> list[dict[str, Any]]:
    """The log's JSON lines; the last may be written to at this moment, and is left out then."""
    written = log.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in written.splitlines() if line.startswith(b"{")]


def ran(*command: str, timeout: float = TIMEOUT_S, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself, after `timeout` seconds at most if it has a core of its own.

    Else it gets SIGTERM, and so does what it has started: a trap of a script may end the rest.
    """
    with tempfile.TemporaryFile("w+") as given:
        given.write(options.pop("input", ""))
        given.seek(0)
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
            **{"env": environment(), "stdin": given, **options},
        )  # fmt: skip
    begun = time.monotonic()
    with process:
        while True:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
                return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
            except BaseException as error:  # also an interrupt of the tests
                if not isinstance(error, subprocess.TimeoutExpired) or is_overdue(begun, timeout):
                    stop_group(process)
                    raise


def stop_group(process: subprocess.Popen[str], patience_s: float = 10) -> None:
    """Send SIGTERM to a process and what it has started in its group, and SIGKILL to what is left then."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
            return


def is_overdue(begun: float, seconds: float = TIMEOUT_S) -> bool:
    """Whether what begun then hangs: it has had as many seconds as it would take with a core of its own.

    On a machine with four processes for each core, everything takes four times as long.
    """
    processes_per_core = os.getloadavg()[0] / (os.cpu_count() or 1)
    return time.monotonic() - begun > seconds * max(1, processes_per_core)


def until(met: Any, what: str) -> None:
    """Wait until `met()` is true."""
    begun = time.monotonic()
    while not met():
        assert not is_overdue(begun), f"waited in vain until {what}"
        time.sleep(0.02)
