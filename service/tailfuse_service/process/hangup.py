"""SIGHUP: reload, or stop if the terminal was closed. One that comes during the start is not lost.

Without a handler it would end the process, which imports its libraries and opens its bundles before it can
reload them. `python -m tailfuse_service` therefore begins by blocking it; a worker inherits that.
"""

import asyncio
import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STDIN = 0


class HangUps:
    """Unblocks SIGHUP and remembers it from its creation on, until `handle` says what to do."""

    def __init__(self) -> None:
        self._came = False
        if hasattr(signal, "SIGHUP"):  # Windows has none
            signal.signal(signal.SIGHUP, self._remember)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def handle(self, reload: Callable[[], None], stop: Callable[[], None]) -> None:
        """Handle each SIGHUP on the running event loop, and one that came before now."""

        def hung_up() -> None:
            if is_terminal_closed():
                stop()
            else:
                reload()

        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)
        if self._came:
            hung_up()

    def _remember(self, *_: Any) -> None:
        self._came = True


def is_terminal_closed() -> bool:
    """Return whether the standard input is a terminal that was closed, and not a file or a pipe."""
    import termios  # Windows has none

    try:
        termios.tcgetattr(STDIN)
    except termios.error as error:
        return error.args[0] in (errno.EIO, errno.ENXIO)  # Linux, macOS
    return False


@contextmanager
def block_hang_ups() -> Iterator[None]:
    """Start a process in this block: SIGHUP waits there until its HangUps takes it.

    Blocks in several tasks may overlap if each starts its process before it awaits anything.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
