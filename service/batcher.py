"""Many submits, few runs: while one batch runs, arrivals form the next. Knows no tensors and no HTTP."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

from service.errors import NotReady, Overloaded

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Calls `run` in one thread, on at most `max_batch_size` items at a time.

    `run` answers a list as long as its own. When it raises, its items are run one by one, so that
    the failure reaches the guilty one alone.
    """

    def __init__(
        self, run: Callable[[Sequence[T]], Sequence[R]], *, max_batch_size: int, max_queue: int
    ) -> None:
        self._run = run
        self._max_batch_size = max_batch_size
        self._max_queue = max_queue
        self._waiting: dict[asyncio.Future[R], T] = {}  # in the order of their arrival
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batcher")
        self._closed = False

    def __len__(self) -> int:
        """How many items wait for their run."""
        return len(self._waiting)

    async def submit(self, item: T) -> R:
        """The answer for one item. Raises Overloaded, NotReady, or what `run` raised for it."""
        (future,) = self._enqueue([item])
        try:
            return await future
        finally:
            self._waiting.pop(future, None)  # only there still if the caller has hung up

    async def submit_all(self, items: Sequence[T]) -> list[R | BaseException]:
        """An answer, or what `run` raised, for each item. Raises Overloaded or NotReady for all of them."""
        futures = self._enqueue(items)
        try:
            return await asyncio.gather(*futures, return_exceptions=True)
        finally:
            for future in futures:
                self._waiting.pop(future, None)

    async def close(self) -> None:
        """Answer what is queued, and refuse whatever comes after."""
        self._closed = True
        if self._worker is not None:
            await self._worker
        self._thread.shutdown()

    def _enqueue(self, items: Sequence[T]) -> list[asyncio.Future[R]]:
        """All of the items or none of them."""
        if self._closed:
            raise NotReady("the service is stopping")
        if len(self._waiting) + len(items) > self._max_queue:
            raise Overloaded("too many samples are waiting; try again soon", retry_after_s=1)
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[R]] = [loop.create_future() for _ in items]
        self._waiting.update(zip(futures, items, strict=True))
        if self._worker is None and items:
            self._worker = loop.create_task(self._work())
        return futures

    async def _work(self) -> None:
        """Run batch after batch until nobody waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                futures = list(islice(self._waiting, self._max_batch_size))
                items = [self._waiting.pop(future) for future in futures]
                results = await loop.run_in_executor(self._thread, self._attempt, items)
                for future, result in zip(futures, results, strict=True):
                    if future.done():
                        continue  # its caller has hung up
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
        finally:
            self._worker = None

    def _attempt(self, items: Sequence[T]) -> list[R | Exception]:
        """An answer or an exception for each item; never raises."""
        try:
            results = list(self._run(items))
            if len(results) != len(items):
                raise RuntimeError(f"{len(results)} answers for {len(items)} items")
            return [*results]
        except Exception as error:
            if len(items) == 1:
                return [error]
            return [self._attempt([item])[0] for item in items]
