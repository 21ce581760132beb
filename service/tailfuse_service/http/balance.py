"""Balance: the connections that clients keep are spread over the workers.

The kernel deals a connection to a worker when it is opened, and never again. A worker that is ready later
than the others, such as the successor of one that died, would get none from clients who keep theirs. So a
worker with more requests in flight than the others ends some connections with their next answer (`Connection:
close`, after which HTTP's clients connect anew), and the kernel deals these again.
"""

import asyncio
from collections.abc import Callable, Sequence

SAMPLE_S = 0.25  # as often as workers publish their numbers
WINDOW = 4  # samples, whose mean counts: one alone is chance
TOLERATED = 1.25  # times the mean of all workers, and
SPARE = 1.0  # more; the kernel deals by chance, 64 connections for instance as 32 and 32, give or take 4


class Balance:
    """Says which answers are the last of their connection. Only on the event loop.

    `read` returns the requests in flight of the workers that are ready, its own first.
    """

    def __init__(self, read: Callable[[], Sequence[float]]) -> None:
        self._read = read
        self._own, self._mean = 0.0, 0.0  # sums over the samples of the window
        self._n_samples = 0
        self._surplus = 0  # connections that are to be ended

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take a sample now and regularly from now on."""
        self.sample()
        loop.call_later(SAMPLE_S, self.watch, loop)

    def sample(self) -> None:
        """Compare the requests in flight with the other workers', once for each window."""
        own, *others = self._read()
        self._n_samples += 1
        if self._n_samples <= 0:
            return
        self._own += own
        self._mean += (own + sum(others)) / (1 + len(others))
        if self._n_samples == WINDOW:
            own, mean = self._own / WINDOW, self._mean / WINDOW
            self._surplus = int(own - mean) if own > TOLERATED * mean + SPARE else 0
            # What has been ended is in the next window's numbers only in part.
            self._n_samples = -WINDOW if self._surplus else 0
            self._own = self._mean = 0.0

    def is_last(self) -> bool:
        """Return whether the answer that is written now should be the last of its connection."""
        if not self._surplus:
            return False
        self._surplus -= 1
        return True
