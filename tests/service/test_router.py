"""What only shows when one speaks ASGI by hand: streamed bodies, hang-ups, overload, deadlines."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.app import create_app
from tailfuse_service.http.asgi import ClientDisconnected, WhileConnected
from tailfuse_service.settings import Settings

from tests.support.calls import BODY, Call


@pytest.mark.slow
def test_a_streamed_body_is_cut_off_at_the_limit(tiny_bundle: Path, bundle: Any) -> None:
    async def scenario() -> None:
        app = create_app(Settings(bundle=tiny_bundle, max_body_bytes=1000), bundle)
        # It announces less than it sends, and would never end.
        call = Call(app, chunks=[b"x" * 300] * 50, content_length="10")
        assert await call.status() == 413
        assert call.taken == 4
        assert call.problem()["type"] == "urn:tailfuse:problem:payload-too-large"

    asyncio.run(scenario())


def test_a_body_in_many_chunks_is_put_together(tiny_bundle: Path, bundle: Any) -> None:
    async def scenario() -> None:
        app = create_app(Settings(bundle=tiny_bundle), bundle)
        assert await Call(app, chunks=[b" ", b"\n", BODY]).status() == 200

    asyncio.run(scenario())


def test_a_caller_who_hangs_up_while_sending_is_not_answered(tiny_bundle: Path, bundle: Any) -> None:
    async def scenario() -> None:
        app = create_app(Settings(bundle=tiny_bundle), bundle)
        call = Call(app, chunks=[b"{"], unfinished=True)
        call.hang_up()
        await call.task
        assert call.sent == []

    asyncio.run(scenario())


def test_a_caller_who_hangs_up_while_waiting_leaves_the_queue(
    tiny_bundle: Path, fake_bundle: Any, runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr("tailfuse_service.http.asgi.WATCH_AFTER_S", 0.0)
        runtime.hold()
        app = create_app(Settings(bundle=tiny_bundle), fake_bundle)
        running = Call(app)
        await asyncio.to_thread(runtime.begun.wait, 30)
        gone, stays = Call(app), Call(app)
        gone.hang_up()
        await gone.task
        assert gone.sent == []
        runtime.release()
        assert [await running.status(), await stays.status()] == [200, 200]
        assert runtime.sizes == [1, 1]

    asyncio.run(scenario())


def test_a_full_queue_says_429_and_when_to_come_back(
    tiny_bundle: Path, fake_bundle: Any, runtime: Any
) -> None:
    async def scenario() -> None:
        runtime.hold()
        app = create_app(Settings(bundle=tiny_bundle, max_queue=1, max_items=1), fake_bundle)
        running = Call(app)
        await asyncio.to_thread(runtime.begun.wait, 30)
        waiting, refused = Call(app), Call(app)
        assert await refused.status() == 429
        assert (b"retry-after", b"1") in refused.sent[0]["headers"]
        assert refused.problem()["type"] == "urn:tailfuse:problem:overloaded"
        large = Call(app, chunks=[b" " * 20_000, BODY])  # refused before anybody reads it
        assert await large.status() == 429
        runtime.release()
        assert [await running.status(), await waiting.status()] == [200, 200]

    asyncio.run(scenario())


def test_an_answer_that_takes_too_long_is_504(tiny_bundle: Path, fake_bundle: Any, runtime: Any) -> None:
    async def scenario() -> None:
        runtime.hold()
        app = create_app(Settings(bundle=tiny_bundle, request_timeout_s=0.01), fake_bundle)
        for path, body in (("/predict", BODY), ("/predict/batch", b'{"items": [%s]}' % BODY)):
            call = Call(app, path, [body])
            assert await call.status() == 504
            assert call.problem()["type"] == "urn:tailfuse:problem:deadline-exceeded"
        runtime.release()

    asyncio.run(scenario())


def test_stopping_answers_what_is_queued_and_is_not_ready(
    tiny_bundle: Path, fake_bundle: Any, runtime: Any
) -> None:
    async def scenario() -> None:
        runtime.hold()
        app = create_app(Settings(bundle=tiny_bundle), fake_bundle)
        async with app.api.router.lifespan_context(app.api):
            call = Call(app)
            await asyncio.to_thread(runtime.begun.wait, 30)
            runtime.release()
        assert await call.status() == 200
        late = Call(app)
        assert await late.status() == 503
        assert late.problem()["type"] == "urn:tailfuse:problem:not-ready"

    asyncio.run(scenario())


def test_only_a_hang_up_is_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailfuse_service.http.asgi.WATCH_AFTER_S", 0.0)

    async def never() -> Any:
        await asyncio.Event().wait()

    async def scenario() -> None:
        async def block() -> None:
            async with WhileConnected(never):
                await asyncio.Event().wait()

        task = asyncio.create_task(block())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def gone() -> Any:
            return {"type": "http.disconnect"}

        with pytest.raises(ClientDisconnected):
            async with WhileConnected(gone):
                await asyncio.Event().wait()
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0

    asyncio.run(scenario())
