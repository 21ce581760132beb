"""Which connections a worker ends, so that those of busy callers are spread over the workers."""

import asyncio
from collections.abc import Sequence

import pytest
from tailfuse_service.http.balance import WINDOW, Balance
from tailfuse_service.metrics import Metrics, SharedCounters, reset_gauges
from tailfuse_service.metrics.counters import make_file


def count_ended(balance: Balance, answers: int = 1000) -> int:
    return sum(balance.is_last() for _ in range(answers))


@pytest.mark.parametrize(
    ("in_flight", "ended"),
    [
        ([64, 0], 32),
        ([0, 64], 0),
        ([36, 28], 0),  # as chance deals them
        ([45, 19], 13),
        ([1, 0], 0),
        ([2, 0], 0),
        ([4, 0], 2),
        ([30, 0, 0, 0], 22),
        ([12, 10, 11, 11], 0),
        ([64], 0),
    ],
)
def test_a_worker_ends_as_many_as_it_has_more_than_the_mean(in_flight: Sequence[float], ended: int) -> None:
    balance = Balance(lambda: in_flight)
    for _ in range(WINDOW - 1):
        balance.sample()
    assert count_ended(balance) == 0  # not before the window is complete
    balance.sample()
    assert count_ended(balance) == ended


def test_one_sample_is_chance() -> None:
    numbers = iter([[9.0, 1.0], [1.0, 9.0]] * WINDOW)
    balance = Balance(lambda: next(numbers))
    for _ in range(2 * WINDOW):
        balance.sample()
        assert count_ended(balance) == 0


def test_the_window_after_does_not_count_and_what_was_not_ended_in_time_stays() -> None:
    balance = Balance(lambda: [8.0, 0.0])
    for _ in range(WINDOW):
        balance.sample()
    assert count_ended(balance, answers=3) == 3
    for _ in range(WINDOW):
        balance.sample()
    assert count_ended(balance) == 1
    balance = Balance(lambda: next(numbers))
    numbers = iter([[8.0, 0.0]] * 2 * WINDOW + [[4.0, 4.0]] * WINDOW)
    for _ in range(3 * WINDOW):
        balance.sample()
    assert count_ended(balance) == 0


def test_workers_read_what_the_others_that_are_ready_have_published() -> None:
    files = [make_file() for _ in range(3)]  # the first is the supervisor's
    first, second = (
        Metrics(
            counters=SharedCounters(files[own]),
            others=[SharedCounters(files[0]), SharedCounters(files[other])],
        )
        for own, other in ((1, 2), (2, 1))
    )
    assert first.read_in_flight() == [0.0]
    for metrics in (first, second):
        metrics.ready.set_function(lambda: 1.0)
    first.in_flight.set_function(lambda: 3.0)
    second.in_flight.set_function(lambda: 5.0)
    first.publish()
    second.publish()
    assert first.read_in_flight() == [3.0, 5.0]
    assert second.read_in_flight() == [5.0, 3.0]
    reset_gauges(SharedCounters(files[2]))  # as when the second worker has died: it takes no connections
    assert first.read_in_flight() == [3.0]
    second.ready.set_function(lambda: 0.0)
    second.publish()
    assert first.read_in_flight() == [3.0]


def test_it_goes_on_taking_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailfuse_service.http.balance.SAMPLE_S", 0.001)
    taken: list[int] = []
    enough = asyncio.Event()

    def read() -> list[float]:
        taken.append(1)
        if len(taken) == 3 * WINDOW:
            enough.set()
        return [8.0, 0.0]

    async def watch() -> None:
        Balance(read).watch(asyncio.get_running_loop())
        await enough.wait()

    asyncio.run(watch())
