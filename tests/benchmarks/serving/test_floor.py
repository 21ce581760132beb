"""The floor answers every request, in one piece or in many, on any number of connections."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from serving_bench.peers import floor


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=floor.serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()


def request(n_bytes: int) -> bytes:
    return b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % n_bytes + b"x" * n_bytes


def receive(connection: socket.socket) -> bytes:
    data = b""
    while len(data) < len(floor.ANSWER):
        data += connection.recv(65536)
    return data


def test_each_request_has_one_answer(address: tuple[str, int]) -> None:
    connections = [socket.create_connection(address) for _ in range(3)]
    for n_bytes in (0, 10, 400_000, 3):
        for connection in connections:
            connection.sendall(request(n_bytes))
        for connection in connections:
            assert receive(connection) == floor.ANSWER
    for connection in connections:
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        connection.close()


def test_a_client_that_resets_its_connection_stops_nobody(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as gone:
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.sendall(request(10))
    with socket.create_connection(address) as connection:
        connection.sendall(request(10))
        assert receive(connection) == floor.ANSWER


def test_a_request_in_pieces_is_answered_when_it_is_whole(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        data = request(50)
        connection.sendall(data[:-1])
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(30)
        connection.sendall(data[-1:])
        assert receive(connection) == floor.ANSWER
