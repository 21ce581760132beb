"""Every property by construction: a gate holds the run, so that no test depends on time."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest
from tailfuse_service.errors import DeadlineExceeded, NotReady, Overloaded
from tailfuse_service.inference.batcher import Batcher

Run = Callable[[Sequence[int]], Sequence[int]]


class Gate:
    """A run that doubles, notes its batches, and waits until it may go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = threading.Event()
        self.begun = threading.Event()

    def run(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.set()
        assert self.open.wait(30)
        if 13 in items:
            raise ValueError(f"13 among {len(items)}")
        return [2 * item for item in items]

    async def until_begun(self) -> None:
        await asyncio.to_thread(self.begun.wait, 30)


def make_batcher(
    run: Run,
    max_batch_size: int = 4,
    max_queue: int = 100,
    timeout_s: float = 30,
    waited: Callable[[list[float]], None] = lambda _: None,
) -> Batcher[int, int]:
    return Batcher(
        run, max_batch_size=max_batch_size, max_queue=max_queue, timeout_s=timeout_s, waited=waited
    )


def submitted(batcher: Batcher[int, int], items: Sequence[int]) -> list[asyncio.Future[int]]:
    return [batcher.submit(item) for item in items]


def test_it_tells_of_each_batch_how_long_its_items_waited() -> None:
    async def scenario() -> None:
        gate = Gate()
        waits: list[list[float]] = []
        batcher = make_batcher(gate.run, waited=waits.append)
        first = submitted(batcher, [0])
        await gate.until_begun()
        rest = submitted(batcher, range(1, 4))
        await asyncio.sleep(0.05)
        gate.open.set()
        await asyncio.gather(*first, *rest)
        assert [len(each) for each in waits] == [1, 3]
        assert min(waits[1]) >= 0.05
        assert min(waits[0]) >= 0
        await batcher.close()

    asyncio.run(scenario())


def test_order_is_kept_and_batches_are_full() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = make_batcher(gate.run)
        first = submitted(batcher, [0])
        await gate.until_begun()  # the first item runs alone, the rest gather behind it
        rest = submitted(batcher, range(1, 11))
        await asyncio.sleep(0)
        assert len(batcher) == 10
        gate.open.set()
        assert await asyncio.gather(*first, *rest) == [2 * item for item in range(11)]
        assert gate.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
        await batcher.close()

    asyncio.run(scenario())


def test_a_hang_up_leaves_the_queue_and_spares_the_neighbours() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = make_batcher(gate.run)
        running = submitted(batcher, [0, 1])
        await gate.until_begun()
        waiting = submitted(batcher, [2, 3, 4])
        await asyncio.sleep(0)
        batcher.withdraw([running[1], waiting[1]])
        assert len(batcher) == 2
        gate.open.set()
        answers = await asyncio.gather(*running, *waiting, return_exceptions=True)
        assert [answer for answer in answers if not isinstance(answer, BaseException)] == [0, 4, 8]
        assert isinstance(answers[1], asyncio.CancelledError)
        assert isinstance(answers[3], asyncio.CancelledError)
        assert gate.batches == [[0, 1], [2, 4]]
        await batcher.close()

    asyncio.run(scenario())


def test_of_a_batch_that_fails_only_the_guilty_fails_and_the_worker_lives_on() -> None:
    async def scenario() -> None:
        gate = Gate()
        gate.open.set()
        batcher = make_batcher(gate.run)
        answers = await asyncio.gather(*batcher.submit_all([1, 13, 3]), return_exceptions=True)
        assert answers[0] == 2
        assert answers[2] == 6
        assert isinstance(answers[1], ValueError)
        assert str(answers[1]) == "13 among 1"
        with pytest.raises(ValueError, match="13 among 1"):
            await batcher.submit(13)
        assert await batcher.submit(5) == 10
        await batcher.close()

    asyncio.run(scenario())


def test_a_run_that_loses_an_answer_gives_nobody_another_s() -> None:
    async def scenario() -> None:
        batcher = make_batcher(lambda items: [*items][:1])
        assert await asyncio.gather(*batcher.submit_all([1, 2, 3])) == [1, 2, 3]
        await batcher.close()
        empty = make_batcher(lambda items: [])
        with pytest.raises(RuntimeError, match="0 answers for 1 items"):
            await empty.submit(1)
        await empty.close()

    asyncio.run(scenario())


def test_a_full_queue_refuses_at_once_and_takes_all_of_a_batch_or_nothing() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = make_batcher(gate.run, max_queue=3)
        running = submitted(batcher, [0])
        await gate.until_begun()
        waiting = submitted(batcher, [1, 2])
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            batcher.submit_all([3, 4])
        assert len(batcher) == 2
        last = submitted(batcher, [3])
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refusal:
            batcher.submit(5)
        assert refusal.value.members == {"retry_after_s": 1}
        gate.open.set()
        assert await asyncio.gather(*running, *waiting, *last) == [0, 2, 4, 6]
        await batcher.close()

    asyncio.run(scenario())


def test_closing_answers_what_is_queued_and_then_refuses() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = make_batcher(gate.run, max_batch_size=1)
        tasks = submitted(batcher, [0, 1, 2])
        await gate.until_begun()
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(NotReady):
            batcher.submit(3)
        gate.open.set()
        await closing
        assert await asyncio.gather(*tasks) == [0, 2, 4]

    asyncio.run(scenario())


def test_an_empty_batch_is_answered_by_nothing() -> None:
    async def scenario() -> None:
        batcher = make_batcher(lambda items: items, max_batch_size=1, max_queue=1)
        assert batcher.submit_all([]) == []
        await batcher.close()

    asyncio.run(scenario())


def test_who_waits_too_long_is_told_and_the_late_answer_goes_nowhere() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = make_batcher(gate.run, max_batch_size=1, timeout_s=0.05)
        running, waiting = submitted(batcher, [0, 1])
        await gate.until_begun()
        for future in (running, waiting):
            with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
                await future
        assert len(batcher) == 0
        gate.open.set()
        assert await batcher.submit(2) == 4
        assert gate.batches == [[0], [2]]
        await batcher.close()

    asyncio.run(scenario())


def test_short_runs_stay_on_the_loops_thread_and_long_ones_leave_it() -> None:
    threads: list[int] = []

    def run(items: Sequence[int]) -> list[int]:
        threads.append(threading.get_ident())
        return [*items]

    async def scenario() -> None:
        batcher = make_batcher(run)
        for expected in (1.0, 0.0):
            batcher._run_seconds = expected
            assert await batcher.submit(1) == 1
        await batcher.close()

    asyncio.run(scenario())
    assert threads[0] != threading.get_ident() == threads[1]
