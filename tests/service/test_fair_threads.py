"""Threads are shared by the time that callers use. The clock is made up; a job ends when the test says so."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tailfuse_service.errors import Overloaded
from tailfuse_service.inference.caller import Caller
from tailfuse_service.inference.fair_threads import FairThreads


class Workshop:
    """Fair threads with a made-up clock. Each job takes as many seconds as it was told, and is recorded."""

    def __init__(self, n_threads: int = 1) -> None:
        self._own = threading.local()  # each thread has a clock, which runs while it works
        self.done: list[str] = []
        self.open = threading.Event()
        self.pool = ThreadPoolExecutor(n_threads)
        self.sated: set[Caller] = set()  # callers with enough results that wait for their use
        self.threads = FairThreads(self.pool, clock=self.read_clock, has_enough=self.sated.__contains__)

    def read_clock(self) -> float:
        return getattr(self._own, "now", 0.0)

    def send(self, caller: str, seconds: float) -> asyncio.Future[str]:
        return self.threads.run(caller, self._work, caller, seconds)

    def _work(self, caller: str, seconds: float) -> str:
        assert self.open.wait(30)
        self._own.now = self.read_clock() + seconds
        self.done.append(caller)
        return caller


def drive(play: Callable[[Workshop], Awaitable[None]], n_threads: int = 1) -> None:
    async def scenario() -> None:
        workshop = Workshop(n_threads)
        await play(workshop)
        await asyncio.sleep(0)  # it notes that the last result was seen
        workshop.threads.shutdown()
        assert not workshop.threads._accounts  # nothing is kept of callers that have gone

    asyncio.run(scenario())


def test_a_single_job_behind_a_flood_is_next_but_for_the_one_that_runs() -> None:
    async def play(workshop: Workshop) -> None:
        flood = [workshop.send("flood", 1.0) for _ in range(50)]
        other = workshop.send("other", 1.0)
        workshop.open.set()
        await asyncio.gather(*flood, other)
        assert workshop.done.index("other") == 1

    drive(play)


@pytest.mark.parametrize("n_callers", [2, 5, 20])
def test_a_caller_waits_for_one_job_of_each_other(n_callers: int) -> None:
    async def play(workshop: Workshop) -> None:
        callers = [f"caller {at}" for at in range(n_callers)]
        jobs = [workshop.send(caller, 1.0) for caller in callers for _ in range(6)]
        workshop.open.set()
        await asyncio.gather(*jobs)
        for begin in range(0, len(jobs), n_callers):
            assert set(workshop.done[begin : begin + n_callers]) == set(callers)

    drive(play)


def test_a_long_job_weighs_more_than_a_short_one() -> None:
    async def play(workshop: Workshop) -> None:
        long = [workshop.send("long", 10.0) for _ in range(3)]
        short = [workshop.send("short", 1.0) for _ in range(20)]
        workshop.open.set()
        await asyncio.gather(*long, *short)
        assert workshop.done == [
            "long", *["short"] * 10, "long", *["short"] * 10, "long"
        ]  # fmt: skip

    drive(play)


def test_a_caller_that_comes_late_neither_owes_nor_is_owed() -> None:
    async def play(workshop: Workshop) -> None:
        workshop.open.set()
        await asyncio.gather(*(workshop.send("old", 1.0) for _ in range(9)))
        workshop.open.clear()
        jobs = [workshop.send("old", 1.0) for _ in range(4)]
        jobs += [workshop.send("new", 1.0) for _ in range(4)]
        workshop.open.set()
        await asyncio.gather(*jobs)
        assert workshop.done[9:] == ["old", "new"] * 4

    drive(play)


def test_one_caller_does_not_take_all_threads_while_another_waits() -> None:
    """The thread that ends one of its jobs goes to the other, however long the others of its jobs take."""

    async def play(workshop: Workshop) -> None:
        started: list[str] = []
        gates = {name: threading.Event() for name in ("first", "second", "third", "other")}

        def work(name: str) -> None:
            started.append(name)
            assert gates[name].wait(30)

        async def wait_for(n_started: int) -> None:
            async with asyncio.timeout(30):
                while len(started) < n_started:
                    await asyncio.sleep(0.001)

        flood = [workshop.threads.run("flood", work, name) for name in ("first", "second", "third")]
        await wait_for(2)
        other = workshop.threads.run("other", work, "other")
        gates["second"].set()
        await wait_for(3)
        assert started[2] == "other"
        for gate in gates.values():
            gate.set()
        await asyncio.gather(*flood, other)

    drive(play, n_threads=2)


def test_a_job_that_nobody_waits_for_is_not_started() -> None:
    async def play(workshop: Workshop) -> None:
        running, dropped, last = (workshop.send("one", 1.0) for _ in range(3))
        dropped.cancel()
        workshop.open.set()
        await asyncio.gather(running, last)
        assert len(workshop.done) == 2

    drive(play)


def test_what_a_job_raises_is_its_own() -> None:
    async def play(workshop: Workshop) -> None:
        def fail() -> Any:
            raise ZeroDivisionError

        workshop.open.set()
        results = await asyncio.gather(
            workshop.threads.run("one", fail), workshop.send("one", 1.0), return_exceptions=True
        )
        assert isinstance(results[0], ZeroDivisionError)
        assert results[1] == "one"

    drive(play)


def test_room_is_made_by_the_newest_job_of_the_caller_with_the_most() -> None:
    async def play(workshop: Workshop) -> None:
        jobs = [workshop.send("flood", 1.0) for _ in range(4)]  # one runs
        other = workshop.send("other", 1.0)
        assert not workshop.threads.make_room("flood")
        assert workshop.threads.make_room("other")
        with pytest.raises(Overloaded):
            await jobs[3]
        assert not workshop.threads.make_room("other")  # both would have two
        workshop.open.set()
        await asyncio.gather(*jobs[:3], other)

    drive(play)


def test_a_thread_takes_the_next_job_while_the_loop_is_busy() -> None:
    """The loop answers many callers in one turn; threads that wait for it do nothing meanwhile."""

    async def play(workshop: Workshop) -> None:
        jobs = [workshop.send(caller, 1.0) for caller in ("one", "other") * 3]
        workshop.open.set()
        deadline = time.monotonic() + 30
        while len(workshop.done) < len(jobs) and time.monotonic() < deadline:
            time.sleep(0.001)  # as a turn that is long; nothing else runs on the loop
        assert workshop.done == ["one", "other"] * 3
        await asyncio.gather(*jobs)

    drive(play)


def test_a_shutdown_cancels_what_waits() -> None:
    async def play(workshop: Workshop) -> None:
        running, waiting = workshop.send("one", 1.0), workshop.send("other", 1.0)
        workshop.threads.shutdown(wait=False, cancel_futures=True)
        workshop.open.set()
        assert await running == "one"
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert workshop.done == ["one"]

    drive(play)


def test_whoever_gets_a_result_finds_the_thread_idle() -> None:
    async def play(workshop: Workshop) -> None:
        workshop.open.set()
        for _ in range(200):
            await workshop.send("one", 1.0)
            assert workshop.threads._n_idle == 1

    drive(play)


def test_a_caller_with_enough_results_waits_and_the_others_do_not() -> None:
    async def play(workshop: Workshop) -> None:
        workshop.open.set()
        workshop.sated.add("sated")
        waiting = [workshop.send("sated", 1.0) for _ in range(3)]
        await asyncio.gather(*[workshop.send("other", 1.0) for _ in range(5)])
        assert workshop.done == ["other"] * 5
        workshop.threads.resume()  # somebody has used a result, but it still has enough
        await workshop.send("other", 1.0)
        assert not any(each.done() for each in waiting)
        workshop.sated.clear()
        workshop.threads.resume()
        await asyncio.gather(*waiting)
        assert workshop.done == ["other"] * 6 + ["sated"] * 3

    drive(play)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_as_many_threads_go_on_as_there_is_work_for(n_threads: int) -> None:
    async def play(workshop: Workshop) -> None:
        workshop.sated.add("sated")
        jobs = [workshop.send("sated", 1.0) for _ in range(2)]
        while workshop.threads._n_idle < n_threads:  # they have looked, and found nothing that may begin
            await asyncio.sleep(0)
        workshop.sated.clear()
        workshop.threads.resume()
        assert workshop.threads._n_idle == max(n_threads - 2, 0)
        workshop.threads.resume()
        workshop.open.set()
        await asyncio.gather(*jobs)

    drive(play, n_threads)


def test_jobs_that_wait_for_their_caller_s_results_can_be_cancelled_and_shut_down() -> None:
    async def play(workshop: Workshop) -> None:
        workshop.sated.add("sated")
        cancelled, waiting = workshop.send("sated", 1.0), workshop.send("sated", 1.0)
        cancelled.cancel()
        workshop.sated.clear()
        workshop.threads.resume()
        workshop.open.set()
        assert await waiting == "sated"
        workshop.sated.add("sated")
        left_over = workshop.send("sated", 1.0)
        workshop.threads.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(asyncio.CancelledError):
            await left_over
        workshop.threads.resume()  # there is nothing to go on with
        assert workshop.done == ["sated"]

    drive(play)
