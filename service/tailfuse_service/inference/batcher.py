"""The batcher: while one batch runs, arriving items form the next. Independent of tensors and HTTP.

Each caller has a queue of its own. If more items wait than a batch holds, each caller has the same share of
it, so that the turn of a caller comes after at most as many batches as there are callers. If the queue is
full, the newest items of the caller with the most waiting are refused.

A device that computes while the processor copies can have two runs at once: one is copied to it while it
computes the other, and it is never idle in between. The second begins as soon as it is as large as the first.
So batches do not become smaller for it, and under load they grow until the device keeps up.
"""

import asyncio
import os
import time
from asyncio import Future
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Generic, TypeAlias, TypeVar

from tailfuse_service.errors import DeadlineExceeded, NotReady
from tailfuse_service.inference.caller import Caller, find_heaviest, make_overloaded

T = TypeVar("T")
R = TypeVar("R")

# A run that is shorter than this runs on the event loop, because a thread hand-over would cost more. With
# a single core the loop could do little during a run anyway.
SHORT_S, SHORT_ON_ONE_CORE_S = 0.002, 0.02
SMOOTHING = 0.2  # weight of the last run in the expected duration of the next one


# An item, and since when it waits by time.perf_counter; the loop's own time is that of its last turn.
Waiting: TypeAlias = tuple[T, float]


class Batcher(Generic[T, R]):
    """Calls `run` on at most `max_batch_size` items at a time, and at most `max_runs` times at once.

    `run` answers a list as long as its own. When it raises, its items are run one by one, so that
    only the failing item gets the error. An item that waits longer than `timeout_s` gets DeadlineExceeded.
    `waited` is told of each batch how many seconds its items waited; `taken` is called when fewer may wait.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Sequence[R]],
        *,
        max_batch_size: int,
        max_queue: int,
        timeout_s: float,
        waited: Callable[[list[float]], None],
        max_runs: int = 1,
    ) -> None:
        self._run = run
        self._max_batch_size = max_batch_size
        self._max_queue = max_queue
        self._timeout_s = timeout_s
        self._waited = waited
        self.taken: Callable[[], None] = do_nothing
        self._max_runs = max_runs
        # Of each caller in order of arrival; the callers in the order of their turns.
        self._queues: dict[Caller, dict[Future[R], Waiting[T]]] = {}
        self._n_waiting = 0
        self._runs: list[dict[Future[R], Waiting[T]]] = []
        self._is_scheduled = False  # the next run, in the next turn of the loop
        # Of several runs none is on the loop, which would keep it from the others.
        self._short_s = 0.0 if max_runs > 1 else SHORT_ON_ONE_CORE_S if count_cores() == 1 else SHORT_S
        self._run_seconds = 1.0  # expected duration of a run; long until it is known
        self._timer: asyncio.TimerHandle | None = None
        self._threads = ThreadPoolExecutor(max_runs, thread_name_prefix="batcher")
        self._drained: Future[None] | None = None  # set by close()

    def __len__(self) -> int:
        """Return the number of items that wait for a run."""
        return self._n_waiting

    def count_waiting(self, caller: Caller) -> int:
        """Return the number of items of a caller that wait for a run. Any thread may call this."""
        return len(self._queues.get(caller, ()))

    @property
    def in_flight(self) -> int:
        """Number of items that are waiting or running."""
        return self._n_waiting + sum(map(len, self._runs))

    def submit(self, item: T, caller: Caller = "") -> Future[R]:
        """Return the future answer of one item. Raises Overloaded or NotReady."""
        queue = self._open_queue(1, caller)
        future: Future[R] = asyncio.get_running_loop().create_future()
        queue[future] = item, time.perf_counter()
        return future

    def submit_all(self, items: Sequence[T], caller: Caller = "") -> list[Future[R]]:
        """Return a future answer for each item; accept all or none. Raises Overloaded or NotReady."""
        if not items:
            self._check_open()
            return []
        queue = self._open_queue(len(items), caller)
        loop = asyncio.get_running_loop()
        now = time.perf_counter()
        futures: list[Future[R]] = [loop.create_future() for _ in items]
        queue.update(zip(futures, ((item, now) for item in items), strict=True))
        return futures

    def _open_queue(self, n_items: int, caller: Caller) -> dict[Future[R], Waiting[T]]:
        """Return the caller's queue, to which so many items are added now. Raises Overloaded or NotReady."""
        self._check_open()
        if self._n_waiting + n_items > self._max_queue:
            self.make_room(n_items, caller)
        self._n_waiting += n_items
        if not self._is_scheduled and (not self._runs or self._may_overlap()):
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._next)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._expire)
        queue = self._queues.get(caller)
        if queue is None:
            queue = self._queues[caller] = {}
        return queue

    def _may_overlap(self) -> bool:
        """Return whether the next run may begin while others are under way."""
        return len(self._runs) < self._max_runs and self._n_waiting >= len(self._runs[-1])

    def _check_open(self) -> None:
        """Raise NotReady if the batcher is closed."""
        if self._drained is not None:
            raise NotReady("the service is stopping")

    def make_room(self, n_items: int, caller: Caller) -> None:
        """Refuse the newest items of the callers with the most waiting, until this caller's have room.

        What was submitted together is refused together. Raises Overloaded, and refuses nothing, if this
        caller would have the most itself.
        """
        own = len(self._queues.get(caller, ())) + n_items
        excess = sum(len(queue) - own for queue in self._queues.values() if len(queue) > own)
        if self._n_waiting + n_items - self._max_queue > excess:
            raise make_overloaded()
        while self._n_waiting + n_items > self._max_queue:
            heaviest = find_heaviest(self._queues, caller, n_items)
            assert heaviest is not None
            queue = self._queues[heaviest]
            _, newest = next(reversed(queue.values()))
            for future in [each for each, (_, since) in queue.items() if since == newest]:
                self._drop(future)
                if not future.done():
                    future.set_exception(make_overloaded())

    def withdraw(self, futures: Iterable[Future[R]]) -> None:
        """Cancel these answers; items that still wait are not run."""
        for future in futures:
            if future.cancelled() or future.cancel():  # not answered yet
                self._drop(future)

    def _drop(self, future: Future[R]) -> None:
        """Take an item out of the queue, if it is there."""
        for caller, queue in self._queues.items():
            if queue.pop(future, None) is not None:
                self._n_waiting -= 1
                if not queue:
                    del self._queues[caller]
                return

    async def close(self) -> None:
        """Answer the queued items, and reject new ones."""
        self._drained = asyncio.get_running_loop().create_future()
        if self._is_scheduled or self._runs:
            await self._drained
        if self._timer is not None:
            self._timer.cancel()
        self._threads.shutdown()

    def _next(self) -> None:
        """Run the next batch, if there is one and it may begin."""
        self._is_scheduled = False
        if self._runs and not self._may_overlap():
            return
        batch = self._take()
        self.taken()
        if not batch:
            if self._drained is not None and not self._runs:
                self._drained.set_result(None)
            return
        self._runs.append(batch)
        items = [item for item, _ in batch.values()]
        start = time.perf_counter()
        self._waited([start - since for _, since in batch.values()])
        if self._run_seconds < self._short_s:
            self._deliver(batch, start, self._attempt(items, [*batch]))
        else:
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._threads, self._attempt, items, [*batch])
            running.add_done_callback(partial(self._run_done, batch, start))

    def _take(self) -> dict[Future[R], Waiting[T]]:
        """Take the next batch out of the queue."""
        batch: dict[Future[R], Waiting[T]] = {}
        if self._n_waiting <= self._max_batch_size:
            queues, self._queues = self._queues, {}
            self._n_waiting = 0
            for queue in queues.values():
                if batch:
                    batch.update(queue)
                else:
                    batch = queue
            return batch
        while (room := self._max_batch_size - len(batch)) > 0:
            share = max(1, room // len(self._queues))
            for caller in list(islice(self._queues, room)):
                queue = self._queues.pop(caller)
                for future in list(islice(queue, share)):
                    batch[future] = queue.pop(future)
                if queue:
                    self._queues[caller] = queue  # its next turn comes after those of the others
        self._n_waiting -= len(batch)
        return batch

    def _run_done(
        self, batch: dict[Future[R], Waiting[T]], start: float, running: Future[list[R | Exception]]
    ) -> None:
        self._deliver(batch, start, running.result())

    def _deliver(
        self, batch: dict[Future[R], Waiting[T]], start: float, results: list[R | Exception]
    ) -> None:
        """Deliver the results, then schedule the next batch after the sockets have been read."""
        self._run_seconds += SMOOTHING * (time.perf_counter() - start - self._run_seconds)
        for future, result in zip(batch, results, strict=True):
            if future.done():
                continue  # cancelled or timed out
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._runs = [each for each in self._runs if each is not batch]
        if not self._is_scheduled:
            self._is_scheduled = True
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
        now = time.perf_counter()
        next_s = None  # until the next item times out
        for queue in (*self._runs, *self._queues.values()):
            for future, (_, since) in list(queue.items()):
                left = since + self._timeout_s - now
                if left > 0:
                    next_s = left if next_s is None else min(left, next_s)
                    break
                self._drop(future)
                if not future.done():
                    future.set_exception(make_deadline_error(self._timeout_s))
        if next_s is not None:
            self._timer = loop.call_later(next_s, self._expire)


def do_nothing() -> None:
    """Until somebody wants to know that items were taken."""


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_deadline_error(timeout_s: float) -> DeadlineExceeded:
    """Return the error of a request that has timed out."""
    return DeadlineExceeded(f"no answer within {timeout_s:g} s", expected=timeout_s)
