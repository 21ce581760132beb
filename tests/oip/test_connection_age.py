"""Channels make a new connection now and then, and no call fails by it."""

import threading
from pathlib import Path

import grpc
import pytest
from tailfuse_service.oip.messages import SERVICE

from tests.support.oip.tensors import get_grpc_address
from tests.support.process import start_service, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# One worker, whose connections get as old as those of several do, only sooner.
PROGRAM = """
from tailfuse_service.oip import grpc_server
grpc_server.UNLIMITED = 300
import runpy
runpy.run_module("tailfuse_service", run_name="__main__")
"""


def test_calls_of_several_threads_are_answered_while_their_channel_connects_anew(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    service = start_service(tiny_bundle, "--grpc-port", "0", log=tmp_path / "log", program=("-c", PROGRAM))
    connected: list[int] = []
    failures: list[grpc.RpcError] = []
    enough = threading.Event()
    try:
        with grpc.insecure_channel(get_grpc_address(service)) as channel:
            channel.subscribe(
                lambda state: connected.append(1) if state is grpc.ChannelConnectivity.READY else None
            )
            live = channel.unary_unary(f"/{SERVICE}/ServerLive")

            def call() -> None:
                while not enough.is_set():
                    try:
                        live(b"", timeout=60)
                    except grpc.RpcError as error:
                        failures.append(error)

            threads = [threading.Thread(target=call) for _ in range(4)]
            for thread in threads:
                thread.start()
            try:
                until(lambda: len(connected) > 3, "it has connected three times anew")
            finally:
                enough.set()
                for thread in threads:
                    thread.join()
        assert not failures
        assert service.stop() == 0
    finally:
        service.process.kill()
        service.process.wait()
