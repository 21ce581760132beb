"""New connections are accepted by the dozen, so that nobody can keep the others out by opening some."""

import asyncio
import socket
from contextlib import ExitStack

import uvloop
from tailfuse_service.process.server import ACCEPTS_PER_TURN, listen, make_handles

N_WAITING = 3 * ACCEPTS_PER_TURN
N_TURNS = 5  # one more than needed at its beginning, and one at its end


def test_a_turn_of_the_loop_accepts_many_connections() -> None:
    accepted: list[asyncio.BaseTransport] = []

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(transport)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            listener = stack.enter_context(listen("127.0.0.1", 0))
            servers = [await loop.create_server(Accepted, sock=each) for each in make_handles(listener)]
            for _ in range(N_WAITING):
                stack.enter_context(socket.create_connection(listener.getsockname()))
            for _ in range(N_TURNS):
                await asyncio.sleep(0)
            assert len(accepted) == N_WAITING
            for transport in accepted:
                transport.close()
            for server in servers:
                server.close()
                await server.wait_closed()

    uvloop.run(scenario())
