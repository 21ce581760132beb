"""A stop that Kubernetes does not have to end, and a SIGHUP during the start."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from tailfuse_service.process.hangup import HangUps
from tailfuse_service.process.server import LINGER_S, compute_drain_s
from tailfuse_service.process.workers import GRACE_S
from tailfuse_service.settings import Settings

KUBERNETES_S = 30  # terminationGracePeriodSeconds, unless a pod says otherwise


def test_by_default_a_stop_ends_before_kubernetes_kills_the_pod() -> None:
    assert compute_drain_s(Settings(bundle=Path("tiny"))) + GRACE_S + LINGER_S < KUBERNETES_S


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_hang_up_before_the_handler_exists_is_not_lost() -> None:
    calls: list[str] = []

    async def scenario(hang_ups: HangUps) -> None:
        hang_ups.handle(lambda: calls.append("reload"), lambda: calls.append("stop"))
        assert calls == ["reload"]
        os.kill(os.getpid(), signal.SIGHUP)
        while len(calls) < 2:
            await asyncio.sleep(0.001)

    before = signal.getsignal(signal.SIGHUP)
    try:
        hang_ups = HangUps()
        os.kill(os.getpid(), signal.SIGHUP)
        asyncio.run(scenario(hang_ups))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert calls == ["reload", "reload"]
