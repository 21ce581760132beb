"""Callers share an engine: its reader threads between two items of a batch, and its queue."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.bundle import Bundle
from tailfuse_service.errors import Overloaded
from tailfuse_service.inference import engine as engine_module
from tailfuse_service.inference.caller import CALLER, Caller
from tailfuse_service.inference.engine import Engine
from tailfuse_service.inference.fair_threads import MAX_UNSEEN
from tailfuse_service.inference.inline import INLINE_BYTES
from tailfuse_service.metrics import Metrics
from tailfuse_service.settings import Settings

from tests.support.bundles import FakeRuntime


def make_engine(bundle: Bundle, **settings: Any) -> Engine:
    return Engine(bundle, Settings(bundle=Path("tiny"), **settings), Metrics())


async def ask(engine: Engine, caller: Caller, n_rows: int, *, explain: bool = False) -> Any:
    """Ask as a caller: one long text, or a batch."""
    CALLER.set(caller)
    inputs = {"notes": str(caller)}
    if n_rows == 1:
        return await engine.submit(inputs, INLINE_BYTES + 1)
    return await (engine.explain_all if explain else engine.predict_all)([inputs] * n_rows)


@pytest.mark.parametrize("explain", [False, True])
def test_a_large_sample_does_not_wait_for_another_caller_s_batch(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, explain: bool
) -> None:
    decoded: list[str] = []
    begun, may_go = threading.Event(), threading.Event()
    decode = bundle.sample

    def sample(_: Bundle, inputs: dict[str, str]) -> Any:
        begun.set()
        assert may_go.wait(30)
        decoded.append(inputs["notes"])
        return decode(inputs)

    monkeypatch.setattr(type(bundle), "sample", sample)
    monkeypatch.setattr(engine_module, "MAX_TURN_S", -1.0)  # one item in each turn
    monkeypatch.setattr("os.cpu_count", lambda: 1)

    async def scenario() -> None:
        engine = make_engine(bundle)
        flood = asyncio.create_task(ask(engine, "flood", 40, explain=explain))
        await asyncio.to_thread(begun.wait, 30)
        others = [asyncio.create_task(ask(engine, f"other {at}", 1)) for at in range(3)]
        await asyncio.sleep(0)
        may_go.set()
        await asyncio.gather(flood, *others)
        assert max(decoded.index(f"other {at}") for at in range(3)) <= 4
        assert decoded.count("flood") == 40
        await engine.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("explain", [False, True])
def test_a_batch_whose_rows_make_room_for_another_caller_is_refused_as_a_whole(
    fake_bundle: Bundle, runtime: FakeRuntime, explain: bool
) -> None:
    async def scenario() -> None:
        runtime.hold()
        engine = make_engine(fake_bundle, max_queue=8, max_items=8)
        first = asyncio.create_task(ask(engine, "first", 1))
        await asyncio.to_thread(runtime.begun.wait, 30)
        flood = asyncio.create_task(ask(engine, "flood", 8, explain=explain))
        while len(engine) < 8:
            await asyncio.sleep(0)
        other = asyncio.create_task(ask(engine, "other", 1))
        with pytest.raises(Overloaded):
            await flood
        runtime.release()
        await asyncio.gather(first, other)
        await engine.close()
        assert engine.in_flight == 0

    asyncio.run(scenario())


def count_decoded(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the text of each sample as it is decoded."""
    decoded: list[str] = []
    decode = bundle.sample

    def sample(_: Bundle, inputs: dict[str, str]) -> Any:
        decoded.append(inputs["notes"])
        return decode(inputs)

    monkeypatch.setattr(type(bundle), "sample", sample)
    return decoded


@pytest.mark.parametrize("ends", ["answered", "given up"])
def test_a_caller_s_batches_are_decoded_no_earlier_than_they_can_be_run(
    fake_bundle: Bundle, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    decoded = count_decoded(fake_bundle, monkeypatch)
    monkeypatch.setattr("os.cpu_count", lambda: 1)

    async def scenario() -> None:
        runtime.hold()
        engine = make_engine(fake_bundle, max_batch_size=4, max_queue=1000)
        first = asyncio.create_task(ask(engine, "other", 4))
        await asyncio.to_thread(runtime.begun.wait, 30)
        flood = [asyncio.create_task(ask(engine, "flood", 4)) for _ in range(60)]
        enough = 4 * engine_module.BATCHES_DECODED
        while len(engine) < enough:
            await asyncio.sleep(0)
        other = asyncio.create_task(ask(engine, "other", 4))
        while decoded.count("other") < 8:
            await asyncio.sleep(0)
        # Beyond them only what the loop has not seen, and the batch that was begun meanwhile.
        assert enough <= decoded.count("flood") <= enough + 4 * (MAX_UNSEEN + 1) < 4 * len(flood)
        if ends == "given up":
            for each in flood:
                each.cancel()
            await asyncio.wait(flood)
            flood = [asyncio.create_task(ask(engine, "flood", 4)) for _ in range(5)]
        runtime.release()
        await asyncio.gather(first, *flood, other)
        await engine.close()
        assert engine.in_flight == 0

    asyncio.run(scenario())


def test_small_samples_that_always_wait_do_not_keep_their_caller_s_large_ones_from_being_decoded(
    fake_bundle: Bundle, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = count_decoded(fake_bundle, monkeypatch)

    async def scenario() -> None:
        runtime.hold()
        engine = make_engine(fake_bundle, max_batch_size=2, max_queue=1000)
        CALLER.set("proxy")
        small = [engine.submit({"notes": "small"}, 10) for _ in range(100)]
        large = asyncio.create_task(ask(engine, "proxy", 1))
        deadline = asyncio.get_running_loop().time() + 30
        while "proxy" not in decoded and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0)
        assert "proxy" in decoded
        runtime.release()
        await asyncio.gather(*small, large)
        await engine.close()
        assert not engine._backlog._last  # nothing is kept of callers that have gone

    asyncio.run(scenario())
