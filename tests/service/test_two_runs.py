"""A device that computes one batch while the next one is copied: two runs at once, by a fake device.

Nothing depends on time: the device computes when the test lets it.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from tailfuse_service.bundle import Bundle
from tailfuse_service.inference.batcher import Batcher
from tailfuse_service.inference.engine import Engine
from tailfuse_service.metrics import Metrics
from tailfuse_service.settings import Settings

from tests.support.bundles import FakeRuntime


class Device:
    """Computes one batch at a time, in the order in which they were copied to it; each waits for a `step`."""

    def __init__(self) -> None:
        self.copied: list[list[int]] = []  # batches that have come to it
        self.computed: list[list[int]] = []
        self._changed = threading.Condition()
        self._steps = 0

    def run(self, items: Sequence[int]) -> list[int]:
        batch = list(items)
        with self._changed:
            place = len(self.copied)
            self.copied.append(batch)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._steps > place, 30)
            assert self._changed.wait_for(lambda: len(self.computed) == place, 30)
            self.computed.append(batch)
            self._changed.notify_all()
        return [2 * item for item in batch]

    def step(self, n_batches: int = 1) -> None:
        """Let it compute so many more batches."""
        with self._changed:
            self._steps += n_batches
            self._changed.notify_all()

    async def until(self, n_copied: int) -> None:
        """Wait until so many batches have come."""

        def wait() -> None:
            with self._changed:
                assert self._changed.wait_for(lambda: len(self.copied) >= n_copied, 30)

        await asyncio.to_thread(wait)


def play(scenario: Callable[[Device, Batcher[int, int]], Awaitable[None]], max_runs: int = 2) -> None:
    async def run() -> None:
        device = Device()
        batcher: Batcher[int, int] = Batcher(
            device.run, max_batch_size=8, max_queue=100, timeout_s=30, waited=lambda _: None,
            max_runs=max_runs,
        )  # fmt: skip
        await scenario(device, batcher)

    asyncio.run(run())


def test_the_next_batch_is_there_before_the_device_has_computed_the_first() -> None:
    async def scenario(device: Device, batcher: Batcher[int, int]) -> None:
        futures = batcher.submit_all([1, 2])
        await device.until(1)
        futures += batcher.submit_all([3, 4])
        await device.until(2)
        assert device.computed == []
        assert batcher.in_flight == 4
        futures += batcher.submit_all([5, 6])  # there is no third run
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(device.copied) == 2
        device.step()
        await device.until(3)  # the device has the second already, and the third comes
        assert device.computed == [[1, 2]]
        device.step(2)
        assert await asyncio.gather(*futures) == [2, 4, 6, 8, 10, 12]
        await batcher.close()

    play(scenario)


def test_a_second_run_waits_until_it_is_as_large_as_the_first() -> None:
    async def scenario(device: Device, batcher: Batcher[int, int]) -> None:
        futures = batcher.submit_all([1, 2, 3])
        await device.until(1)
        for item in (4, 5):
            futures.append(batcher.submit(item))
            for _ in range(10):
                await asyncio.sleep(0)
            assert device.copied == [[1, 2, 3]]
        futures.append(batcher.submit(6))
        await device.until(2)
        assert device.copied[1] == [4, 5, 6]
        device.step(2)
        assert await asyncio.gather(*futures) == [2, 4, 6, 8, 10, 12]
        await batcher.close()

    play(scenario)


def test_a_smaller_batch_runs_once_the_device_is_idle() -> None:
    async def scenario(device: Device, batcher: Batcher[int, int]) -> None:
        first = batcher.submit_all([1, 2, 3])
        await device.until(1)
        second = batcher.submit(4)
        device.step()
        await asyncio.gather(*first)
        await device.until(2)
        device.step()
        assert await second == 8
        await batcher.close()

    play(scenario)


def test_under_load_batches_grow_to_the_largest() -> None:
    """More arrive with each batch than it holds: the queue fills, and no run stays small."""

    async def scenario(device: Device, batcher: Batcher[int, int]) -> None:
        futures = [batcher.submit(0)]
        for at in range(1, 8):
            futures += batcher.submit_all(list(range(10)))
            await device.until(at)
            device.step()
        device.step(10)
        await asyncio.gather(*futures)
        sizes = [len(batch) for batch in device.copied]
        assert sum(sizes) == 71
        assert max(sizes) == 8
        assert sorted(sizes[:-1]) == sizes[:-1]  # the last has what is left
        await batcher.close()

    play(scenario)


def test_one_run_at_a_time_stays_one() -> None:
    async def scenario(device: Device, batcher: Batcher[int, int]) -> None:
        futures = batcher.submit_all([1])
        await device.until(1)
        futures += batcher.submit_all([2, 3, 4])
        for _ in range(10):
            await asyncio.sleep(0)
        assert device.copied == [[1]]
        device.step(2)
        assert await asyncio.gather(*futures) == [2, 4, 6, 8]
        await batcher.close()

    play(scenario, max_runs=1)


def test_closing_answers_both_runs_and_what_waits() -> None:
    async def scenario(device: Device, batcher: Batcher[int, int]) -> None:
        futures = batcher.submit_all([1])
        await device.until(1)
        futures += batcher.submit_all([2])
        await device.until(2)
        futures += batcher.submit_all([3])
        closing = asyncio.ensure_future(batcher.close())
        device.step(3)
        await closing
        assert [future.result() for future in futures] == [2, 4, 6]

    play(scenario)


def test_what_a_client_has_withdrawn_of_either_run_harms_no_other() -> None:
    async def scenario(device: Device, batcher: Batcher[int, int]) -> None:
        futures = batcher.submit_all([1, 2])
        await device.until(1)
        futures += batcher.submit_all([3, 4])
        await device.until(2)
        batcher.withdraw([futures[0], futures[3]])
        device.step(2)
        answers = await asyncio.gather(*futures, return_exceptions=True)
        assert answers[1:3] == [4, 6]
        assert isinstance(answers[0], asyncio.CancelledError)
        assert isinstance(answers[3], asyncio.CancelledError)
        await batcher.close()
        assert batcher.in_flight == 0

    play(scenario)


@pytest.mark.parametrize(("device", "expected"), [("cpu", 1), ("cuda", 2), ("cuda:1", 2)])
def test_an_engine_has_two_runs_on_a_device_of_its_own(
    fake_bundle: Bundle, runtime: FakeRuntime, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch,
    device: str, expected: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(runtime, "device", device)

    async def scenario() -> None:
        metrics = Metrics()
        engine = Engine(fake_bundle, Settings(bundle=tiny_bundle), metrics)
        runtime.hold()
        futures = []
        for at in range(3):
            futures.append(engine.submit({"notes": f"spot {at}"}, 10))
            for _ in range(20):
                await asyncio.sleep(0)
            await asyncio.to_thread(runtime.begun.wait, 30)
        for _ in range(1000):
            if len(runtime.sizes) == expected:
                break
            await asyncio.sleep(0.001)
        assert len(runtime.sizes) == expected
        runtime.release()
        await asyncio.gather(*futures)
        await engine.close()
        # Both threads count; no answer is lost.
        text = metrics.text().decode()
        counted = [line for line in text.splitlines() if line.startswith("tailfuse_predictions_total")]
        assert sum(float(line.rsplit(" ", 1)[1]) for line in counted) == 3

    asyncio.run(scenario())
