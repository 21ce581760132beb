"""Writes log lines without holding up the service: a thread writes them, and drops what is too much.

A reader of stderr that does not read stops only the thread. Problems in answers are limited by rate, for each
level by itself, so that a flood of bad requests cannot hide a failure of the service.
"""

import logging
import sys
import threading
import time
from collections import deque
from typing import TextIO

MAX_QUEUED_BYTES = 4 * 1024 * 1024
# Problems of each level: so many at once, and so many in a second after that.
MAX_BURST, PER_SECOND = 500, 100.0
FLUSH_S = 2.0  # at the end, for a reader that is slow


class Allowance:
    """A token bucket: MAX_BURST at once, PER_SECOND in the long run."""

    def __init__(self) -> None:
        self._left = float(MAX_BURST)
        self._since = time.monotonic()

    def take(self) -> bool:
        """Return whether one more is allowed."""
        now = time.monotonic()
        self._left = min(self._left + (now - self._since) * PER_SECOND, MAX_BURST)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class LogWriter(logging.Handler):
    """A handler that never waits and never raises. `dropped` counts the lines that were not written."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._allowances: dict[int, Allowance] = {}
        self._lines: deque[str] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def handle(self, record: logging.LogRecord) -> bool:
        """Have a record written, unless Python ends: its threads were stopped then, and keep their locks."""
        if sys.is_finalizing():
            self.dropped += 1
            return False
        return bool(super().handle(record))

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "slug"):  # a problem in an answer
            allowance = self._allowances.setdefault(record.levelno, Allowance())
            if not allowance.take():
                self.dropped += 1
                return
        try:
            line = self.format(record) + "\n"
        except Exception:
            self.dropped += 1
            return
        with self._changed:
            if self._queued_bytes + len(line) > MAX_QUEUED_BYTES:
                self.dropped += 1
                return
            if self._thread is None and not self._start():
                self.dropped += 1
                return
            self._queued_bytes += len(line)
            self._lines.append(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all lines are written, but not for a reader that does not read."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queued_bytes, FLUSH_S)

    def _start(self) -> bool:
        """Start the thread; return False if Python is about to end, from 3.12 on."""
        thread = threading.Thread(target=self._write, name="log-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line = self._lines.popleft()
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads it any more
                self.dropped += 1
            with self._changed:
                self._queued_bytes -= len(line)
                self._changed.notify_all()
