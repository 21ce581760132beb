"""SIGHUP: reload, or stop if the terminal was closed. One that comes during the start is not lost.

Without a handler it would end the process, which opens its bundles before it can reload them.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

STDIN = 0


class HangUps:
    """Remembers SIGHUP from its creation on, until `handle` says what to do."""

    def __init__(self) -> None:
        self._in_terminal = os.isatty(STDIN)
        self._came = False
        if hasattr(signal, "SIGHUP"):  # Windows has none
            signal.signal(signal.SIGHUP, self._remember)

    def handle(self, reload: Callable[[], None], stop: Callable[[], None]) -> None:
        """Handle each SIGHUP on the running event loop, and one that came before now."""

        def hung_up() -> None:
            if self._in_terminal and not os.isatty(STDIN):
                stop()
            else:
                reload()

        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)
        if self._came:
            hung_up()

    def _remember(self, *_: Any) -> None:
        self._came = True
