"""A process of this machine that runs one of our modules, and the connection to it.

`python -m` rather than multiprocessing: the caller's main module, which may be a script without a guard or a
notebook, is not run again. -P: no file of the working directory takes the place of a module.
"""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any

ONE_THREAD = dict.fromkeys(
    ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


@dataclass(frozen=True, slots=True, eq=False)
class ChildProcess:
    """A process with one thread in each library, and the connection over which it is spoken to."""

    process: subprocess.Popen[bytes]
    connection: Connection

    def send(self, message: Any) -> None:
        """Send a message. That the process has died is found out by `receive`."""
        with suppress(ConnectionError):  # a reset, if it died before it had read all
            self.connection.send(message)

    def receive(self) -> Any:
        """Return what the process sends; None if it has died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):  # OSError: it died while it sent
            return None

    def kill(self) -> None:
        """Kill the process, and wait until it has gone."""
        self.process.kill()
        self.connection.close()
        self.process.wait()


def start_child(module: str, *, is_heard: bool = True) -> ChildProcess:
    """Start a process, which inherits one end of a socket and nothing else. Its number is an argument.

    What it writes to stderr is shown if it `is_heard`.
    """
    here, there = socket.socketpair()
    with there:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(there.fileno())],
            pass_fds=[there.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=None if is_heard else subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD},
        )  # fmt: skip
    return ChildProcess(process, Connection(here.detach()))


def receive_tasks(connection: Connection) -> "SimpleQueue[Any]":
    """In a child: queue what arrives. When the parent has closed its end, or died, end at once."""
    tasks: SimpleQueue[Any] = SimpleQueue()

    def receive() -> None:
        with suppress(EOFError, OSError):
            while True:
                tasks.put(connection.recv())
        os._exit(0)

    Thread(target=receive, daemon=True).start()
    return tasks
