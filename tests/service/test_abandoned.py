"""Work that nobody waits for ends soon, and one item's failure is that item's alone."""

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.bundle import Bundle
from tailfuse_service.bundle.answer import Prediction
from tailfuse_service.errors import DeadlineExceeded
from tailfuse_service.http import off_loop
from tailfuse_service.inference.batcher import Batcher
from tailfuse_service.inference.engine import Engine
from tailfuse_service.metrics import Metrics
from tailfuse_service.settings import Settings

INPUTS = {"notes": "a spot"}


class Decoder:
    """Stands in for Bundle.sample: counts its calls, and each waits until it may go on."""

    def __init__(self, sample: Callable[..., Any]) -> None:
        self.calls = 0
        self.begun, self.may_go = threading.Event(), threading.Event()
        self._sample = sample

    def __call__(self, inputs: Any) -> Any:
        self.calls += 1
        self.begun.set()
        assert self.may_go.wait(30)
        if inputs.get("notes") == "unexpected":
            raise TypeError("nobody expects this")
        return self._sample(inputs)


@pytest.fixture
def decoder(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    decoder = Decoder(bundle.sample)
    monkeypatch.setattr(type(bundle), "sample", lambda _, inputs: decoder(inputs))
    return decoder


def make_engine(bundle: Bundle, **settings: Any) -> Engine:
    return Engine(bundle, Settings(bundle=Path("tiny"), **settings), Metrics())


@pytest.mark.parametrize("method", ["predict_all", "explain_all"])
def test_an_abandoned_batch_ends_after_the_item_that_is_being_decoded(
    bundle: Bundle, decoder: Decoder, method: str
) -> None:
    async def scenario() -> None:
        engine = make_engine(bundle)
        batch = asyncio.create_task(getattr(engine, method)([INPUTS] * 50))
        await asyncio.to_thread(decoder.begun.wait, 30)
        batch.cancel()
        await asyncio.wait([batch])
        decoder.may_go.set()
        await engine.close()
        await asyncio.to_thread(engine._readers.shutdown)
        assert decoder.calls == 1

    asyncio.run(scenario())


def test_a_batch_ends_at_its_deadline(bundle: Bundle, decoder: Decoder) -> None:
    async def scenario() -> None:
        engine = make_engine(bundle, request_timeout_s=0.05)
        with pytest.raises(DeadlineExceeded):
            await engine.predict_all([INPUTS] * 50)
        decoder.may_go.set()
        await engine.close()
        await asyncio.to_thread(engine._readers.shutdown)
        assert decoder.calls == 1

    asyncio.run(scenario())


def test_an_unexpected_failure_stays_with_its_item(bundle: Bundle, decoder: Decoder) -> None:
    async def scenario() -> None:
        engine = make_engine(bundle)
        decoder.may_go.set()
        before, failed, after = await engine.predict_all([INPUTS, {"notes": "unexpected"}, INPUTS])
        assert isinstance(failed, TypeError)
        assert isinstance(before, Prediction)
        assert isinstance(after, Prediction)
        await engine.close()

    asyncio.run(scenario())


def test_of_a_failed_run_those_that_have_gone_are_not_run_again() -> None:
    runs: list[list[int]] = []
    may_go, begun = threading.Event(), threading.Event()

    def run(items: Any) -> Any:
        runs.append(list(items))
        begun.set()
        assert may_go.wait(30)
        if len(items) > 1:
            raise ValueError("together they fail")
        return items

    async def scenario() -> None:
        batcher: Batcher[int, int] = Batcher(
            run, max_batch_size=4, max_queue=9, timeout_s=30, waited=lambda _: None
        )
        futures = batcher.submit_all([1, 2, 3])
        await asyncio.to_thread(begun.wait, 30)
        batcher.withdraw(futures[1:])
        may_go.set()
        assert await futures[0] == 1
        await batcher.close()

    asyncio.run(scenario())
    assert runs == [[1, 2, 3], [1]]


@pytest.mark.parametrize("name", ["reader", "shadow", "a pool of a library"])
@pytest.mark.parametrize("is_plain", [True, False])
def test_a_process_does_not_wait_for_an_abandoned_thread(name: str, is_plain: bool) -> None:
    program = f"""
import concurrent.futures, threading
from tailfuse_service.process.server import end_process
wait = threading.Event().wait
if {is_plain}:
    threading.Thread(target=wait, name="{name}").start()
else:
    concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="{name}").submit(wait)
print("stopped")
end_process()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True)
    assert ended.stdout == b"stopped\n"


class Node:
    """Refers to itself, as an error and its frames do."""

    def __init__(self) -> None:
        self.own = self


def test_what_large_bodies_leave_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(off_loop, "COLLECT_AFTER_S", 0.05)
    collections = []
    collect = gc.collect
    monkeypatch.setattr(gc, "collect", lambda: collections.append(collect()))

    async def scenario() -> None:
        node = weakref.ref(Node())
        for _ in range(20):
            await off_loop.read_off_loop(off_loop.INLINE_BYTES + 1, len, b"")
        while node() is not None:
            await asyncio.sleep(0.005)

    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()
    assert len(collections) >= 1
