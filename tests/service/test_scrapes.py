"""Scrapes of the metrics, by a made-up clock."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import httpx2
import pytest
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle
from tailfuse_service.metrics import Metrics
from tailfuse_service.metrics.scrapes import MAX_PAUSE_S, MAX_SHARE, Scrapes
from tailfuse_service.settings import Settings

RENDER_S = 1 / 64  # exact in binary


class Clock:
    """Time passes when metrics are rendered, and when all scrapes wait. A rendering waits for the CPU too."""

    def __init__(self, *, cpu_s: float = RENDER_S, wall_s: float = RENDER_S) -> None:
        self.now = 100.0
        self.used = 0.0
        self._cpu_s, self._wall_s = cpu_s, wall_s
        self.begun: list[float] = []
        self.fails = False
        self.scrapes = Scrapes(self.render, now=lambda: self.now, used=lambda: self.used, sleep=self.sleep)

    def render(self) -> bytes:
        self.begun.append(self.now)
        self.now += self._wall_s
        self.used += self._cpu_s
        if self.fails:
            raise ValueError("no metrics")
        return str(len(self.begun)).encode()

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        await asyncio.sleep(0)  # the others come to wait too
        self.now = max(self.now, until)


def read(*scrapes: Awaitable[bytes]) -> list[bytes]:
    async def gather() -> list[bytes]:
        return await asyncio.gather(*scrapes)

    return asyncio.run(gather())


def test_a_single_scrape_does_not_wait() -> None:
    clock = Clock()
    assert read(clock.scrapes.read()) == [b"1"]
    assert clock.begun == [100.0]


def test_scrapes_at_once_share_a_rendering_that_begins_after_all_of_them() -> None:
    """The first one is rendered before the second one comes."""
    clock = Clock()
    assert read(*(clock.scrapes.read() for _ in range(50))) == [b"1", *[b"2"] * 49]


def test_rendering_takes_its_share_of_the_time_and_not_more() -> None:
    clock = Clock()
    for _ in range(20):
        read(*(clock.scrapes.read() for _ in range(5)))
    spent = len(clock.begun) * RENDER_S
    assert spent <= MAX_SHARE * (clock.now - 100.0) + RENDER_S
    assert len(clock.begun) >= 20  # and none is answered by an old one


def test_a_rendering_that_waited_for_the_cpu_makes_nobody_wait_longer() -> None:
    clock = Clock(wall_s=20.0)
    read(clock.scrapes.read())
    read(clock.scrapes.read())
    assert clock.begun[1] - (clock.begun[0] + 20.0) == pytest.approx(RENDER_S * (1 / MAX_SHARE - 1))


def test_the_pause_is_limited_however_many_metrics_there_are() -> None:
    clock = Clock(cpu_s=20.0, wall_s=20.0)
    read(clock.scrapes.read())
    read(clock.scrapes.read())
    assert clock.begun[1] - (clock.begun[0] + 20.0) == MAX_PAUSE_S


def test_each_of_several_scrapes_in_turn_sees_the_present() -> None:
    clock = Clock()
    assert [read(clock.scrapes.read()) for _ in range(3)] == [[b"1"], [b"2"], [b"3"]]


def test_after_a_failure_the_next_scrape_is_rendered_anew() -> None:
    clock = Clock()
    clock.fails = True
    with pytest.raises(ValueError, match="no metrics"):
        read(clock.scrapes.read())
    clock.fails = False
    assert read(clock.scrapes.read()) == [b"2"]


def test_a_scrape_that_is_cancelled_keeps_nobody_waiting() -> None:
    clock = Clock()

    async def cancel_one() -> bytes:
        await clock.scrapes.read()
        waiting = asyncio.create_task(clock.scrapes.read())
        await asyncio.sleep(0)
        waiting.cancel()
        return await clock.scrapes.read()

    assert asyncio.run(cancel_one()) == b"2"


def test_the_route_shares_renderings(
    bundle: Bundle, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[None] = []

    def render(self: Metrics) -> bytes:
        rendered.append(None)
        return b"some 1\n"

    monkeypatch.setattr(Metrics, "text", render)
    monkeypatch.setattr(
        Scrapes.__init__, "__kwdefaults__", {"now": lambda: 0.0, "used": lambda: 0.0, "sleep": asyncio.sleep}
    )

    async def scrape() -> set[bytes]:
        app = create_app(Settings(bundle=tiny_bundle), bundle)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
            answers = await asyncio.gather(*(client.get("/metrics") for _ in range(10)))
        await app.registry.close()
        return {answer.content for answer in answers}

    assert asyncio.run(scrape()) == {b"some 1\n"}
    assert len(rendered) == 1  # all of them come at the same time by this clock
