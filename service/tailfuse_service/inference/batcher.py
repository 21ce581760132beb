"""The batcher: while one batch runs, arriving items form the next. Independent of tensors and HTTP."""

import asyncio
import os
import time
from asyncio import Future
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import Generic, NamedTuple, TypeVar

from tailfuse_service.errors import DeadlineExceeded, NotReady, Overloaded

T = TypeVar("T")
R = TypeVar("R")

# A run that is shorter than this runs on the event loop, because a thread hand-over would cost more. With
# a single core the loop could do little during a run anyway.
SHORT_S, SHORT_ON_ONE_CORE_S = 0.002, 0.02
SMOOTHING = 0.2  # weight of the last run in the expected duration of the next one


class Waiting(NamedTuple, Generic[T]):
    item: T
    since: float  # from time.perf_counter; the loop's own time is that of its last turn


class Batcher(Generic[T, R]):
    """Calls `run` on at most `max_batch_size` items at a time, never twice at once.

    `run` answers a list as long as its own. When it raises, its items are run one by one, so that
    only the failing item gets the error. An item that waits longer than `timeout_s` gets DeadlineExceeded.
    `waited` is told of each batch how many seconds its items waited.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Sequence[R]],
        *,
        max_batch_size: int,
        max_queue: int,
        timeout_s: float,
        waited: Callable[[list[float]], None],
    ) -> None:
        self._run = run
        self._max_batch_size = max_batch_size
        self._max_queue = max_queue
        self._timeout_s = timeout_s
        self._waited = waited
        self._waiting: dict[Future[R], Waiting[T]] = {}  # in order of arrival
        self._in_run: dict[Future[R], Waiting[T]] = {}
        self._busy = False  # a batch runs or is scheduled
        self._short_s = SHORT_ON_ONE_CORE_S if count_cores() == 1 else SHORT_S
        self._run_seconds = 1.0  # expected duration of a run; long until it is known
        self._timer: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batcher")
        self._drained: Future[None] | None = None  # set by close()

    def __len__(self) -> int:
        """Return the number of items that wait for a run."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """Number of items that are waiting or running."""
        return len(self._waiting) + len(self._in_run)

    def submit(self, item: T) -> Future[R]:
        """Return the future answer of one item. Raises Overloaded or NotReady."""
        return self.submit_all((item,))[0]

    def submit_all(self, items: Sequence[T]) -> list[Future[R]]:
        """Return a future answer for each item; accept all or none. Raises Overloaded or NotReady."""
        if self._drained is not None:
            raise NotReady("the service is stopping")
        if len(self._waiting) + len(items) > self._max_queue:
            raise Overloaded("too many samples are waiting; try again soon", retry_after_s=1)
        loop = asyncio.get_running_loop()
        now = time.perf_counter()
        futures: list[Future[R]] = []
        for item in items:
            future: Future[R] = loop.create_future()
            self._waiting[future] = Waiting(item, now)
            futures.append(future)
        if not self._busy and items:
            self._busy = True
            loop.call_soon(self._next)
        if self._timer is None and items:
            self._timer = loop.call_later(self._timeout_s, self._expire)
        return futures

    def withdraw(self, futures: Iterable[Future[R]]) -> None:
        """Cancel these answers; items that still wait are not run."""
        for future in futures:
            self._waiting.pop(future, None)
            future.cancel()

    async def close(self) -> None:
        """Answer the queued items, and reject new ones."""
        self._drained = asyncio.get_running_loop().create_future()
        if self._busy:
            await self._drained
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown()

    def _next(self) -> None:
        """Run the next batch, if there is one."""
        batch = dict(islice(self._waiting.items(), self._max_batch_size))
        if not batch:
            self._busy = False
            if self._drained is not None:
                self._drained.set_result(None)
            return
        for future in batch:
            del self._waiting[future]
        self._in_run = batch
        items = [waiting.item for waiting in batch.values()]
        start = time.perf_counter()
        self._waited([start - waiting.since for waiting in batch.values()])
        if self._run_seconds < self._short_s:
            self._deliver(start, self._attempt(items, [*batch]))
        else:
            running = asyncio.get_running_loop().run_in_executor(self._thread, self._attempt, items, [*batch])
            running.add_done_callback(partial(self._run_done, start))

    def _run_done(self, start: float, running: Future[list[R | Exception]]) -> None:
        self._deliver(start, running.result())

    def _deliver(self, start: float, results: list[R | Exception]) -> None:
        """Deliver the results, then schedule the next batch after the sockets have been read."""
        self._run_seconds += SMOOTHING * (time.perf_counter() - start - self._run_seconds)
        for future, result in zip(self._in_run, results, strict=True):
            if future.done():
                continue  # cancelled or timed out
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._in_run = {}
        asyncio.get_running_loop().call_soon(self._next)

    def _attempt(self, items: Sequence[T], futures: Sequence[Future[R]]) -> list[R | Exception]:
        """Return an answer or an exception for each item. Never raises.

        If items are run one by one, those whose clients have gone, or whose time is over, are left out.
        """
        try:
            results = list(self._run(items))
            if len(results) != len(items):
                raise RuntimeError(f"{len(results)} answers for {len(items)} items")
            return [*results]
        except Exception as error:
            if len(items) == 1:
                return [error]
            return [
                error if future.done() else self._attempt([item], [future])[0]
                for item, future in zip(items, futures, strict=True)
            ]

    def _expire(self) -> None:
        """Fail the items that have timed out, and set the timer for the next one."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for future, waiting in list(chain(self._in_run.items(), self._waiting.items())):
            left = waiting.since + self._timeout_s - time.perf_counter()
            if left > 0:
                self._timer = loop.call_later(left, self._expire)
                return
            self._waiting.pop(future, None)
            if not future.done():
                future.set_exception(make_deadline_error(self._timeout_s))


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_deadline_error(timeout_s: float) -> DeadlineExceeded:
    """Return the error of a request that has timed out."""
    return DeadlineExceeded(f"no answer within {timeout_s:g} s", expected=timeout_s)
