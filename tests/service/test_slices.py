"""Received bytes are cut so that at most one request ends in a slice, however they arrive."""

from itertools import pairwise

import httptools
from hypothesis import given
from hypothesis import strategies as st
from tailfuse_service.http.head import find_length, get_length
from tailfuse_service.http.slices import MAX_SLICE_BYTES, Slices

BODIES = st.sampled_from([b"", b"x", b"\r\n", b"\r\n\r\n", b"a\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"\n\r\n\r"])
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\n"


def with_length(body: bytes) -> bytes:
    return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body


def in_chunks(body: bytes) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk * 2 + b"0\r\n\r\n"


REQUESTS = st.one_of(
    BODIES.map(with_length), BODIES.map(in_chunks), st.just(b"GET / HTTP/1.1\r\n\r\n"),
    st.just(in_chunks(b"x")[:-2] + b"trailer: y\r\n\r\n"), st.just(b"\r\n\r\n" + with_length(b"z")),
    st.just(with_length(b"z" * 3 * MAX_SLICE_BYTES)), st.just(in_chunks(b"z" * 3 * MAX_SLICE_BYTES)),
)  # fmt: skip


class Reader:
    """Parses slices, and notes what happens in each."""

    def __init__(self) -> None:
        self.slices = Slices()
        self._parser = httptools.HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self.events: list[list[str]] = []  # by slice
        self.bodies: list[int] = []

    def read(self, data: bytes) -> None:
        self.slices.add(data)
        while self.slices.data:
            self.events.append([])
            self._parser.feed_data(self.slices.take())

    def on_message_begin(self) -> None:
        self._headers = []
        self.events[-1].append("begin")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.slices.body_left = get_length(self._headers)

    def on_body(self, body: bytes) -> None:
        self.bodies.append(len(body))

    def on_message_complete(self) -> None:
        self.events[-1].append("complete")


@given(requests=st.lists(REQUESTS, min_size=1, max_size=6), data=st.data())
def test_at_most_one_request_ends_in_a_slice_and_nothing_comes_after_it(
    requests: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(requests)
    cuts = sorted({0, len(stream), *data.draw(st.lists(st.integers(0, len(stream)), max_size=12))})
    reader = Reader()
    for start, end in pairwise(cuts):
        reader.read(stream[start:end])
    assert sum(events.count("complete") for events in reader.events) == len(requests)
    for events in reader.events:
        assert "complete" not in events[:-1]


def test_a_body_of_known_length_is_one_slice() -> None:
    reader = Reader()
    reader.read(with_length(b"x" * 200_000) + with_length(b"y" * 10))
    assert reader.bodies == [200_000, 10]


def test_where_no_end_is_in_sight_a_slice_is_short() -> None:
    slices = Slices()
    slices.add(b"x" * 10 * MAX_SLICE_BYTES)
    assert [len(slices.take()) for _ in range(10)] == [MAX_SLICE_BYTES] * 10
    assert not slices.data


def test_what_is_put_back_is_taken_next() -> None:
    slices = Slices()
    slices.add(b"one\r\n\r\ntwo\r\n\r\n")
    assert slices.take() == b"one\r\n\r\n"
    slices.put_back(b"again\r\n\r\n")
    slices.add(b"three")
    assert [slices.take() for _ in range(3)] == [b"again\r\n\r\n", b"two\r\n\r\n", b"three"]


LINES = st.lists(
    st.sampled_from([
        b"content-length: 5", b"Content-Length:5", b"CONTENT-LENGTH:\t7 ", b"content-length: 5x",
        b"content-length:",
        b"content-length: 6, 6", b"content-length : 5", b" content-length: 5", b"x: content-length: 5",
        b"x-content-length: 5", b"transfer-encoding: chunked", b"a: b", b"a: b\rcontent-length: 5", b"",
    ]),
    max_size=4,
)  # fmt: skip


@given(lines=LINES)
def test_a_length_that_is_found_is_the_parser_s_or_the_request_is_refused(lines: list[bytes]) -> None:
    head = b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b""]).partition(b"\r\n\r\n")[0]
    found = find_length(head)
    if found is None:
        return
    reader = Reader()
    try:
        reader.read(head + b"\r\n\r\n")
    except httptools.HttpParserError:
        return
    assert reader.slices.body_left == found
