"""The memory that all threads of this process together may take for decoding images and files of series."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from tailfuse_service.errors import Overloaded

# What takes less does not count.
UNCOUNTED_BYTES = 2 * 1024 * 1024
MAX_WAIT_S = 30.0


class TooMuchMemory(Exception):
    """Decoding takes more than all the memory that there is for it. `limit` is that, in bytes."""

    def __init__(self, needed: int, limit: int) -> None:
        super().__init__(needed, limit)
        self.needed, self.limit = needed, limit


class WouldWait(Exception):
    """There is no memory now for who may not wait."""


class DecodingMemory:
    """Bytes that are reserved before something is decoded. Who comes first gets them first.

    Without a limit, as in training, nothing waits.
    """

    def __init__(self) -> None:
        self._limit: int | None = None
        self._held = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def held(self) -> int:
        """Reserved bytes."""
        return self._held

    @property
    def limit(self) -> int | None:
        """Bytes that may be reserved at once."""
        return self._limit

    def set_limit(self, n_bytes: int | None) -> None:
        """Change the limit. What is reserved stays so."""
        with self._changed:
            self._limit = n_bytes
            self._changed.notify_all()

    @contextmanager
    def reserve(self, n_bytes: int, *, waits: bool = True) -> Iterator[None]:
        """Wait until that many bytes are free. Raises TooMuchMemory, and Overloaded after MAX_WAIT_S.

        On the event loop nobody may wait: without `waits` it raises WouldWait at once.
        """
        if n_bytes <= UNCOUNTED_BYTES:
            yield
            return
        self._take(n_bytes, MAX_WAIT_S if waits else 0.0)
        try:
            yield
        finally:
            with self._changed:
                self._held -= n_bytes
                self._changed.notify_all()

    def _take(self, n_bytes: int, wait_s: float) -> None:
        own = object()

        def is_next() -> bool:
            free = self._limit is None or self._held + n_bytes <= self._limit or n_bytes > self._limit
            return self._waiting[0] is own and free

        with self._changed:
            self._waiting.append(own)
            try:
                if not self._changed.wait_for(is_next, wait_s):
                    if not wait_s:
                        raise WouldWait
                    raise Overloaded("there is no memory to decode more; try again soon", retry_after_s=1)
                if self._limit is not None and n_bytes > self._limit:
                    raise TooMuchMemory(n_bytes, self._limit)
                self._held += n_bytes
            finally:
                self._waiting.remove(own)
                self._changed.notify_all()


DECODING = DecodingMemory()  # of this process, which has one memory
