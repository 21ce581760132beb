"""Calls that come together go on together; one that comes alone does not wait."""

import asyncio

import pytest
from tailfuse_service.oip import coalescer
from tailfuse_service.oip.coalescer import Coalescer


def test_the_first_goes_on_at_once_and_those_behind_it_go_on_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coalescer, "BURST_GAP_S", 60)
    went: list[int] = []

    async def call(calls: Coalescer, number: int) -> None:
        await calls.wait()
        went.append(number)

    async def calls() -> None:
        together = Coalescer()
        together._last = -1000.0
        await call(together, 0)
        assert went == [0]
        tasks = [asyncio.create_task(call(together, number)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        assert went == [0]
        tasks[1].cancel()  # its caller has gone
        await asyncio.gather(*tasks, return_exceptions=True)
        assert went == [0, 1, 3]

    asyncio.run(calls())
