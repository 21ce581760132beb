"""Threads that work for callers in turns: next is the caller that has had the least of their time.

A caller is charged with the time that its jobs take, so that a large image or a large body weighs more than a
small one. What a caller does not use while it has no jobs is not saved up. This is start-time fair queueing
(Goyal, Vin and Cheng 1996) with measured costs.
"""

import asyncio
import time
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from tailfuse_service.inference.caller import Caller, find_heaviest, make_overloaded

T = TypeVar("T")

MAX_UNSEEN = 32  # results of a caller that a busy loop has not given to whoever awaits them


class Account:
    """The jobs of one caller. `used_s` is the time of the threads that it has had."""

    __slots__ = ("jobs", "n_running", "n_unseen", "used_s")

    def __init__(self, used_s: float) -> None:
        self.jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self.n_running = 0
        self.n_unseen = 0
        self.used_s = used_s

    def __len__(self) -> int:
        """Return the number of jobs that wait."""
        return len(self.jobs)

    @property
    def is_idle(self) -> bool:
        """Return whether no job waits or runs, and all results have been seen."""
        return not (self.jobs or self.n_running or self.n_unseen)


class FairThreads:
    """Some threads, and a queue of jobs for each caller. To be used on one event loop.

    A thread that has ended a job takes the next one itself: if the loop gave it out, threads would be idle
    for as long as a turn of a busy loop takes.

    No job of a caller is begun while `has_enough` says that enough of its results wait for their use, so that
    they do not fill the memory. `resume` must be called once it no longer does.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        clock: Callable[[], float] = time.perf_counter,
        *,
        has_enough: Callable[[Caller], bool] = lambda _: False,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._has_enough = has_enough  # any thread asks
        self._lock = Lock()  # of all that follows
        self._n_idle = pool._max_workers
        self._accounts: dict[Caller, Account] = {}
        self._used_s = 0.0  # of the accounts that have been served; a new account begins there

    def run(self, caller: Caller, call: Callable[..., T], *arguments: Any) -> Future[T]:
        """Return the future result of a call in a thread. Cancelling it drops a job that still waits."""
        loop = asyncio.get_running_loop()
        future: Future[T] = loop.create_future()
        with self._lock:
            account = self._accounts.get(caller)
            if account is None:
                account = self._accounts[caller] = Account(self._used_s)
            account.jobs.append((future, partial(call, *arguments)))
            is_thread_idle = self._n_idle > 0
            if is_thread_idle:
                self._n_idle -= 1
        if is_thread_idle:
            self._pool.submit(self._work, loop)
        return future

    def resume(self) -> None:
        """Go on with jobs that wait because of `has_enough`."""
        if not self._accounts:  # as a rule, and after every batch
            return
        with self._lock:
            n_started = min(self._n_idle, sum(map(len, self._list_waiting())))
            self._n_idle -= n_started
        for _ in range(n_started):
            self._pool.submit(self._work, asyncio.get_running_loop())

    def make_room(self, caller: Caller) -> bool:
        """Refuse the newest job of the caller with the most waiting. Return False if that is this caller."""
        with self._lock:
            heaviest = find_heaviest(self._accounts, caller)
            if heaviest is None:
                return False
            future, _ = self._accounts[heaviest].jobs.pop()
        if not future.done():
            future.set_exception(make_overloaded())
        return True

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads, as `Executor.shutdown` does."""
        if cancel_futures:
            with self._lock:
                waiting = [future for account in self._accounts.values() for future, _ in account.jobs]
                for account in self._accounts.values():
                    account.jobs.clear()
                self._forget_idle()
            for future in waiting:
                future.cancel()
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _work(self, loop: AbstractEventLoop) -> None:
        """Do jobs in this thread until none waits."""
        with self._lock:
            job = self._take_job()
        while job is not None:
            account, future, call = job
            begun = self._clock()
            outcome = do_job(call)
            seconds = self._clock() - begun
            # Before the result is delivered, so that whoever gets it finds the thread idle or at work.
            with self._lock:
                account.n_running -= 1
                account.n_unseen += 1
                account.used_s += seconds
                job = self._take_job()
            try:
                loop.call_soon_threadsafe(self._deliver, account, future, *outcome)
            except RuntimeError:
                return  # the loop is closed: the service has stopped
            del future, call, outcome  # nothing is kept while there is nothing to do

    def _take_job(self) -> tuple[Account, Future[Any], Callable[[], Any]] | None:
        """Return the next job and its account; None, and count the thread as idle, if none may begin."""
        while waiting := self._list_waiting():
            account = min(waiting, key=rank)
            future, call = account.jobs.popleft()
            if future.done():
                continue  # nobody waits for it
            self._used_s = max(self._used_s, account.used_s)
            account.n_running += 1
            return account, future, call
        self._n_idle += 1
        self._forget_idle()
        return None

    def _list_waiting(self) -> list[Account]:
        """Return the accounts with jobs that may begin."""
        return [
            account
            for caller, account in self._accounts.items()
            if account.jobs and account.n_unseen < MAX_UNSEEN and not self._has_enough(caller)
        ]

    def _deliver(self, account: Account, future: Future[T], result: T, error: BaseException | None) -> None:
        """Set the future's result or error, unless nobody waits for it any more."""
        if not future.done():
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        # After whoever awaits it has gone on.
        future.get_loop().call_soon(self._count_seen, account)

    def _count_seen(self, account: Account) -> None:
        with self._lock:
            account.n_unseen -= 1
            if account.is_idle:
                self._forget_idle()
        if account.jobs:
            self.resume()

    def _forget_idle(self) -> None:
        """Drop the accounts that have no jobs, and no time to make up for."""
        is_busy = not all(account.is_idle for account in self._accounts.values())
        for caller, account in list(self._accounts.items()):
            if not account.is_idle:
                continue
            if not is_busy or account.used_s <= self._used_s:
                del self._accounts[caller]


def do_job(call: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """Return the result of a call, or what it has raised."""
    try:
        return call(), None
    except BaseException as error:
        return None, error


def rank(account: Account) -> tuple[int, float]:
    """Return what decides whose turn it is: the smallest has it."""
    return account.n_running, account.used_s
