"""Ports of this machine that nothing listens on."""

import socket
from contextlib import ExitStack


def find_free_ports(count: int) -> list[int]:
    """Return so many different ports."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in listeners]


def find_free_port() -> int:
    """Return one port."""
    [port] = find_free_ports(1)
    return port
