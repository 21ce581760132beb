"""One trial: start the child process, watch it, and tell why a bundle cannot be used."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tailfuse_service.bundle import BundleError, Manifest, RuntimeName, hash_manifest
from tailfuse_service.errors import NotReady
from tailfuse_service.logs import LOG
from tailfuse_service.trial.memory import MIB, MemoryWatch
from tailfuse_service.trial.order import Order

POLL_S = 0.05
START_CPU_S = 10  # Python and the libraries, on a slow processor
MAX_READ_BYTES = 64 * 1024  # what a pipe of Linux holds
# What a graph's error says when it met the confinement.
NO_MEMORY = re.compile("alloc|memory", re.IGNORECASE)
NOT_ALLOWED = re.compile("not permitted|permission denied", re.IGNORECASE)
# How many time-outs a trial may wait for a processor, which requests get first.
MAX_WAITED = 4


@dataclass(frozen=True, slots=True)
class Trial:
    """The settings of a trial: those that the bundle will run with, but always on the processor."""

    runtime: RuntimeName
    threads: int
    timeout_s: float

    def __call__(self, folder: Path, manifest: Manifest, stopping: threading.Event) -> None:
        """Open and run a bundle in a child process. Raises BundleError; NotReady if the service stops."""
        cpu_s = int(self.timeout_s * (self.threads or os.cpu_count() or 1)) + START_CPU_S
        order = Order(str(folder), hash_manifest(manifest), self.runtime, self.threads, cpu_s, os.getpid())
        start = time.monotonic()
        try:
            memory = MemoryWatch(folder)
            with start_child(order) as child:
                problem = self._watch(child, start, memory, stopping)
                report, printed = read_report(child.stdout), read_pipe(child.stderr)
        except OSError as error:
            raise BundleError(f"its trial cannot begin: {error.strerror}") from None
        log_trial(manifest, time.monotonic() - start, report)
        problem = problem or explain_end(child.returncode, report, printed, cpu_s)
        if problem is not None:
            raise BundleError(problem)

    def _watch(
        self, child: subprocess.Popen[bytes], start: float, memory: MemoryWatch, stopping: threading.Event
    ) -> str | None:
        """Wait until the child has ended. Return the limit for which it was killed, or None.

        On a busy machine its time is longer: a good bundle must not be refused because requests come first.
        """
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_S)
                    return None
                if stopping.is_set():
                    raise NotReady("the service is stopping")
                unscheduled_s = min(read_waited_s(child.pid), MAX_WAITED * self.timeout_s)
                if time.monotonic() - start - unscheduled_s > self.timeout_s:
                    return f"its trial did not end within {self.timeout_s:g} s (--trial-timeout-s)"
                if (problem := memory.find_problem(child.pid)) is not None:
                    return problem
        finally:
            kill_group(child)


def start_child(order: Order) -> subprocess.Popen[bytes]:
    """Start the child process. Raises OSError."""
    return subprocess.Popen(
        # -P: a file in the working folder must not replace a library.
        [sys.executable, "-P", "-m", "tailfuse_service.trial", order.to_json()],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        process_group=0,  # Ctrl-C is for the service
    )  # fmt: skip


def read_waited_s(pid: int) -> float:
    """Return how long a process was ready to run but had no processor; 0 where the kernel does not say."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill the child, and what it may have started where nothing keeps it from that."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def read_pipe(pipe: IO[bytes] | None) -> bytes:
    """Return the start of what is in a pipe, without waiting."""
    assert pipe is not None
    os.set_blocking(pipe.fileno(), False)
    with suppress(BlockingIOError):
        return os.read(pipe.fileno(), MAX_READ_BYTES)
    return b""


def read_report(pipe: IO[bytes] | None) -> dict[str, Any]:
    """Return the members of the report's lines."""
    report: dict[str, Any] = {}
    with suppress(ValueError):  # the end of a line that was not written whole
        for line in read_pipe(pipe).splitlines():
            report |= json.loads(line)
    return report


def explain_end(code: int, report: dict[str, Any], printed: bytes, cpu_s: int) -> str | None:
    """Return why the bundle cannot be used, or None if the trial has gone well."""
    if "problem" in report:
        problem: str | None = report["problem"]
        if problem is not None and "memory_bytes" in report and NO_MEMORY.search(problem):
            return f"its trial may take {report['memory_bytes'] // MIB:,} MiB of memory; {problem}"
        if problem is not None and NOT_ALLOWED.search(problem):
            return f"its trial may neither write files nor use a network; {problem}"
        return problem
    if code == -signal.SIGXCPU:
        return f"its trial took more than {cpu_s} s of processor time"
    last = printed.decode(errors="replace").strip().rpartition("\n")[2]
    ended = f"its trial ended with {describe_exit(code)}"
    return f"{ended}: {last:.200}" if last else ended


def describe_exit(code: int) -> str:
    """Return an exit code or signal in words."""
    if code == -signal.SIGKILL:
        return "SIGKILL; memory may have run out"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def log_trial(manifest: Manifest, seconds: float, report: dict[str, Any]) -> None:
    """Log a trial, and what its process was not kept from."""
    still_open = report.get("still_open", [])
    members = {
        "model": manifest.name, "version": manifest.version, "seconds": round(seconds, 3),
        "confined_by": report.get("layers", []), "still_open": still_open,
    }  # fmt: skip
    if still_open:
        LOG.warning("bundle tried without full confinement", extra=members)
    else:
        LOG.info("bundle tried", extra=members)
