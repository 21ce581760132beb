"""Callers share batches: a flood of one caller delays another by its share only. A gate holds the runs."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from tailfuse_service.errors import Overloaded
from tailfuse_service.inference.batcher import Batcher

SIZE = 4  # of a batch


class Row(NamedTuple):
    caller: str
    number: int


class Engine:
    """A run that records its batches; the first one waits until it may go on."""

    def __init__(self) -> None:
        self.batches: list[list[Row]] = []
        self.open, self.begun = threading.Event(), threading.Event()

    def run(self, rows: Sequence[Row]) -> list[Row]:
        self.batches.append(list(rows))
        self.begun.set()
        assert self.open.wait(30)
        return [*rows]


def answer_all(*arrivals: tuple[str, int], max_queue: int = 10_000) -> list[list[Row]]:
    """Let the callers' rows arrive in this order while a batch runs. Return the batches after that one."""

    async def scenario() -> list[list[Row]]:
        engine = Engine()
        batcher: Batcher[Row, Row] = Batcher(
            engine.run, max_batch_size=SIZE, max_queue=max_queue, timeout_s=30, waited=lambda _: None
        )
        futures = [batcher.submit(Row("", 0))]
        await asyncio.to_thread(engine.begun.wait, 30)
        sent: Counter[str] = Counter()
        for caller, n in arrivals:
            rows = [Row(caller, sent[caller] + at) for at in range(n)]
            sent[caller] += n
            futures += batcher.submit_all(rows, caller)
        assert len(batcher) == sent.total()
        engine.open.set()
        await asyncio.gather(*futures)
        await batcher.close()
        assert len(batcher) == 0
        return engine.batches[1:]

    return asyncio.run(scenario())


def find_last(batches: list[list[Row]], caller: str) -> int:
    """Return how many batches run until the caller's last row is answered."""
    return 1 + max(at for at, batch in enumerate(batches) if any(row.caller == caller for row in batch))


def test_a_single_row_behind_a_flood_is_in_the_next_batch() -> None:
    batches = answer_all(("flood", 1000), ("other", 1))
    assert find_last(batches, "other") == 1
    assert Counter(row.caller for row in batches[0]) == {"flood": SIZE - 1, "other": 1}
    assert [len(batch) for batch in batches[:-1]] == [SIZE] * (len(batches) - 1)


@pytest.mark.parametrize("n_others", [1, 3, 4, 5, 50])
def test_a_row_waits_for_at_most_as_many_batches_as_there_are_callers(n_others: int) -> None:
    others = [f"other {at}" for at in range(n_others)]
    batches = answer_all(("flood", 400), *((other, 1) for other in others), ("flood", 400))
    assert max(find_last(batches, other) for other in others) <= n_others + 1


def test_two_callers_with_much_to_do_get_the_same_share_of_each_batch() -> None:
    batches = answer_all(("one", 40), ("two", 20))
    assert all(Counter(row.caller for row in batch) == {"one": 2, "two": 2} for batch in batches[:10])
    assert all({row.caller for row in batch} == {"one"} for batch in batches[10:])


def test_many_floods_do_not_keep_a_caller_from_its_turns() -> None:
    """More callers than a batch has rows: each has a turn before anybody has two."""
    callers = [f"caller {at}" for at in range(7)]
    batches = answer_all(*((caller, 8) for caller in callers))
    rows = [row.caller for batch in batches for row in batch]
    for begin in range(0, len(rows), len(callers)):
        assert set(rows[begin : begin + len(callers)]) == set(callers)


def test_the_rows_of_a_caller_keep_their_order() -> None:
    batches = answer_all(("one", 9), ("two", 5), ("one", 3), ("three", 1))
    for caller in ("one", "two", "three"):
        numbers = [row.number for batch in batches for row in batch if row.caller == caller]
        assert numbers == sorted(numbers)


def test_items_of_each_caller_can_be_withdrawn_and_time_out() -> None:
    async def scenario() -> None:
        engine = Engine()
        batcher: Batcher[Row, Row] = Batcher(
            engine.run, max_batch_size=SIZE, max_queue=100, timeout_s=0.05, waited=lambda _: None
        )
        batcher.submit(Row("", 0))
        await asyncio.to_thread(engine.begun.wait, 30)
        one = batcher.submit_all([Row("one", at) for at in range(5)], "one")
        two = batcher.submit_all([Row("two", at) for at in range(5)], "two")
        batcher.withdraw([one[0], *two])
        assert len(batcher) == 4
        errors = await asyncio.gather(*one, *two, return_exceptions=True)
        assert all(isinstance(each, BaseException) for each in errors)
        assert len(batcher) == 0
        engine.open.set()
        await batcher.close()
        assert engine.batches == [[Row("", 0)]]

    asyncio.run(scenario())


class Full:
    """A batcher whose queue of ten rows is full, while a batch runs."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.batcher: Batcher[Row, Row] = Batcher(
            self.engine.run, max_batch_size=SIZE, max_queue=10, timeout_s=30, waited=lambda _: None
        )

    async def fill(self, *arrivals: tuple[str, int]) -> list[list[asyncio.Future[Row]]]:
        self.batcher.submit(Row("", 0))
        await asyncio.to_thread(self.engine.begun.wait, 30)
        return [self.send(caller, n) for caller, n in arrivals]

    def send(self, caller: str, n: int) -> list[asyncio.Future[Row]]:
        return self.batcher.submit_all([Row(caller, at) for at in range(n)], caller)

    async def close(self) -> None:
        self.engine.open.set()
        await self.batcher.close()


def is_refused(future: asyncio.Future[Row]) -> bool:
    return future.done() and isinstance(future.exception(), Overloaded)


def test_where_the_queue_is_full_the_newest_of_the_largest_caller_is_refused() -> None:
    async def scenario() -> None:
        full = Full()
        one, two, three = await full.fill(("one", 1), ("flood", 4), ("flood", 5))
        other = full.send("other", 1)
        assert [any(map(is_refused, each)) for each in (one, two, other)] == [False] * 3
        assert all(map(is_refused, three))  # together, as they were submitted together
        assert len(full.batcher) == 6
        await full.close()
        assert (await other[0]).caller == "other"

    asyncio.run(scenario())


def test_the_largest_caller_itself_is_refused_and_nobody_else() -> None:
    async def scenario() -> None:
        full = Full()
        waiting = await full.fill(("one", 3), ("flood", 7))
        for caller, n in (("flood", 1), ("one", 5), ("new", 8), ("new", 7)):
            with pytest.raises(Overloaded):
                full.send(caller, n)
        assert not any(is_refused(future) for each in waiting for future in each)
        assert len(full.batcher) == 10
        await full.close()

    asyncio.run(scenario())


def test_nobody_is_refused_for_a_batch_that_finds_no_room_anyway() -> None:
    async def scenario() -> None:
        full = Full()
        waiting = await full.fill(*((f"caller {at}", 2) for at in range(5)))
        with pytest.raises(Overloaded):
            full.send("new", 2)
        assert not any(is_refused(future) for each in waiting for future in each)
        await full.close()

    asyncio.run(scenario())
