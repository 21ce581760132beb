"""Answer every request with the same bytes, unread: `python -m serving_bench.peers.floor PORT`.

What a server pays to the kernel for its sockets, and 2 us of Python, whatever it does with the requests. No
server in Python can cost less.
"""

import select
import socket
import sys

import orjson

END = b"\r\n\r\n"
LENGTH = b"\r\nContent-Length: "
READ_BYTES = 1 << 18
CLOSED = -1  # in place of the bytes that a request still lacks
# As long as an answer of the service.
BODY = orjson.dumps({"probabilities": {}, "padding": "." * 560})
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


def main() -> None:
    """Serve until the process is stopped."""
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024) as listener:
        serve(listener)


def serve(listener: socket.socket) -> None:
    """Answer on all connections. A request may come in several reads, and no two in one."""
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    missing: dict[int, int] = {}  # bytes of a request that are still to come
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
                continue
            left = missing.pop(number, 0)
            try:
                data = connections[number].recv(READ_BYTES)
                left = (left or find_size(data)) - len(data) if data else CLOSED
                if left == 0:
                    connections[number].sendall(ANSWER)
            except ConnectionError:  # the load generator goes without waiting for its answers
                left = CLOSED
            if left == CLOSED:
                poll.unregister(number)
                connections.pop(number).close()
            elif left:
                missing[number] = left


def find_size(data: bytes) -> int:
    """Return the size of the request that begins here."""
    at = data.index(LENGTH) + len(LENGTH)
    return data.index(END) + len(END) + int(data[at : data.index(b"\r\n", at)])


if __name__ == "__main__":
    main()
