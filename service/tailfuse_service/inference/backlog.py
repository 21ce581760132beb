"""The backlog: samples that reader threads have decoded, and that wait for a run. Each caller has its own.

Decoded samples take ten times the memory of what was sent, so that no more are decoded than a few runs take.
"""

from asyncio import Future
from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import ref

from tailfuse_service.inference.batcher import Batcher
from tailfuse_service.inference.caller import Caller


class Backlog:
    """Says whose samples need not be decoded yet. To be used on one event loop, but for `is_full`."""

    def __init__(self, batcher: Batcher[Any, Any], enough: int) -> None:
        self._batcher = ref(batcher)  # it keeps a bundle in memory, which must not be kept by a cycle
        self._enough = enough
        self._last: dict[Caller, Future[Any]] = {}  # the last decoded sample of each caller

    def add(self, caller: Caller, futures: Sequence[Future[Any]]) -> None:
        """Note that decoded samples of a caller wait for a run from now on."""
        if futures:
            self._last[caller] = futures[-1]
            futures[-1].add_done_callback(partial(self._end, caller))

    def is_full(self, caller: Caller) -> bool:
        """Return whether decoded samples of a caller wait, and its queue has enough. Any thread may call.

        A caller's samples are run in their order. So once its last decoded one was, none waits, however many
        others do that were too small for a reader thread, and always do so.
        """
        batcher = self._batcher()
        return caller in self._last and batcher is not None and batcher.count_waiting(caller) >= self._enough

    def _end(self, caller: Caller, future: Future[Any]) -> None:
        if self._last.get(caller) is future:
            del self._last[caller]
