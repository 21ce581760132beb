"""A server on loopback that does as it is told: answers, in their order, and broken connections."""

import json
import socket
import threading
from dataclasses import dataclass, field
from typing import Any, Self

ANSWER = {
    "request_id": "1",
    "model": {"name": "m", "version": "1"},
    "label": "a",
    "probability": 0.75,
    "probabilities": {"a": 0.75, "b": 0.25},
    "modalities": {"notes": {"present": True, "weight": 1.0, "confidence": 0.5}},
}
BREAK = b""  # close the connection instead of an answer
SILENT = b"HTTP/1.1 "  # and no more, until the caller goes


def reply(status: int, document: Any, **headers: str) -> bytes:
    body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status} Told", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def problem(status: int, slug: str, **headers: str) -> bytes:
    document = {"type": f"urn:tailfuse:problem:{slug}", "title": slug, "status": status, "detail": "no"}
    return reply(status, document, **headers)


GOOD = reply(200, ANSWER)


@dataclass
class Script:
    """What is answered next, and what has been asked: heads and bodies, connections."""

    replies: list[bytes] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    n_connections: int = 0

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        """Every connection in a thread, until the server is closed."""
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.n_connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            while self._exchange(connection, file):
                pass

    def _exchange(self, connection: socket.socket, file: Any) -> bool:
        """Read a request and answer; whether the connection stays."""
        if not file.peek(1):
            return False
        lines = list(iter(file.readline, b"\r\n"))
        head = b"".join(lines).decode().lower()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        self.heads.append(head)
        self.bodies.append(file.read(int(length or 0)))
        answer = self.replies.pop(0)
        connection.sendall(answer)
        if answer == SILENT:
            file.read()
        announced = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        return answer != BREAK and len(answer.partition(b"\r\n\r\n")[2]) == announced
