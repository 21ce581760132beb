"""One connection, byte by byte; answers are read as RFC 9112 says, and nothing is forgiven."""

import json
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from tests.support.process import TIMEOUT_S, Service

NO_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]  # by lower-case name
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """A connection to the service."""

    def __init__(self, service: Service) -> None:
        self.socket = socket.create_connection(service.address, timeout=TIMEOUT_S)
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """The service may have closed already: then there is nobody to send to."""
        with suppress(ConnectionError):
            self.socket.sendall(data)

    def finish(self) -> None:
        """Say that nothing more will come."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def answer(self, *, method: str = "POST") -> Answer | None:
        """The next answer; None if the service has closed before its first byte."""
        while b"\r\n\r\n" not in self._read:
            if not self._more():
                assert self._read == b"", f"half a head: {self._read!r}"
                return None
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        version, status, *_ = line.split(" ", 2)
        assert version == "HTTP/1.1", line
        headers = {}
        for name, colon, value in (each.partition(":") for each in fields):
            assert colon, fields
            assert name.lower() not in headers, f"{name} is there twice"
            headers[name.lower()] = value.strip()
        bare = method == "HEAD" or int(status) in NO_BODY or 100 <= int(status) < 200
        return Answer(int(status), headers, b"" if bare else self._body(headers))

    def closes(self) -> bool:
        """Whether the service closes now, without another byte."""
        return self._read == b"" and not self._more()

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            whole = b""
            while size := int(self._until(b"\r\n"), 16):
                whole += self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            assert self._exactly(2) == b"\r\n"
            return whole
        return self._exactly(int(headers["content-length"]))

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            assert self._more(), "an answer was cut short"
        data, self._read = self._read[:size], self._read[size:]
        return data

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            assert self._more(), "an answer was cut short"
        data, _, self._read = self._read.partition(mark)
        return data

    def _more(self) -> bool:
        """Read something; False at the end, which may be a reset."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            return False
        self._read += data
        return bool(data)


def head(method: str = "POST", path: str = "/predict", **headers: str | int) -> bytes:
    """A request's head; `content_length=3` is the header content-length."""
    lines = [f"{method} {path} HTTP/1.1", "host: x", *(
        f"{name.replace('_', '-')}: {value}" for name, value in headers.items()
    )]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode()


def post(body: bytes, path: str = "/predict", **headers: str | int) -> bytes:
    """A whole request."""
    return head("POST", path, content_length=len(body), **headers) + body


def chunked(*chunks: bytes, extension: str = "", trailer: str = "") -> bytes:
    """A body of these chunks."""
    sized = (f"{len(chunk):x}{extension}\r\n".encode() + chunk + b"\r\n" for chunk in chunks)
    return b"".join(sized) + b"0\r\n" + trailer.encode() + b"\r\n"
