"""Connections that break the rules of HTTP/1.1 (RFC 9112), or stretch them; and what comes after."""

import re
import threading
from collections.abc import Callable

import httpx2
import pytest
from tailfuse_service.bundle import Bundle

from tests.support.hostile.asking import BODY, as_post, check, own
from tests.support.hostile.wire import Wire, chunked, head, post
from tests.support.process import Service, until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("nobody_is_harmed")]

ALIVE = head("GET", "/healthz")


LONG = "x" * 100_000
REFUSED = {
    "no HTTP": b"what?\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "a version that is none": b"GET /healthz HTTP/x.y\r\nhost: x\r\n\r\n",
    "NULs": bytes(1000) + b"\r\n\r\n",
    "a method with a NUL": b"PO\0ST /predict HTTP/1.1\r\nhost: x\r\n\r\n",
    "a header without a colon": b"POST /predict HTTP/1.1\r\nhost: x\r\nnonsense\r\n\r\n",
    "a header's name with a space": b"POST /predict HTTP/1.1\r\nhost: x\r\nContent-Length : 5\r\n\r\nhello",
    "a header's name with a NUL": b"POST /predict HTTP/1.1\r\nhost: x\r\na\0b: c\r\n\r\n",
    "a header's value with a NUL": b"POST /predict HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n",
    "two lengths": head(content_length=5)[:-2] + b"content-length: 6\r\n\r\nhello!",
    "a length below zero": head(content_length=-1),
    "a length with a plus": head(content_length="+5") + b"hello",
    "a length in hex": head(content_length="0x5") + b"hello",
    "a length of 10^30": head(content_length="1" + "0" * 30),
    "a length that is no number": head(content_length="five") + b"hello",
    "a length and chunks": head(content_length=5, transfer_encoding="chunked") + b"0\r\n\r\n" + ALIVE,
    "chunks and then zip": head(transfer_encoding="chunked, gzip") + b"0\r\n\r\n" + ALIVE,
    "a coding that is not known": head(transfer_encoding="nonsense") + b"0\r\n\r\n" + ALIVE,
    "chunks, spelt wrongly": head(transfer_encoding="xchunked") + b"0\r\n\r\n" + ALIVE,
    "a chunk's size of nonsense": head(transfer_encoding="chunked") + b"zz\r\nhello\r\n0\r\n\r\n" + ALIVE,
    "a chunk's size below zero": head(transfer_encoding="chunked") + b"-5\r\nhello\r\n0\r\n\r\n" + ALIVE,
    "a chunk's size of 2^64": head(transfer_encoding="chunked") + b"1" + b"0" * 16 + b"\r\nx\r\n" + ALIVE,
    "a chunk that is longer than it says": head(transfer_encoding="chunked") + b"2\r\nhello\r\n0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_is_refused_and_nothing_behind_it_is_read(wire: Wire, data: bytes) -> None:
    """RFC 9112, 6.1 and 6.3: what follows a broken frame could be somebody's smuggled request."""
    wire.send(data)
    wire.finish()
    answer = wire.answer()
    if answer is not None:
        assert answer.status in (400, 404, 405, 413, 414, 431, 501, 505), answer
        assert wire.closes()


ENDURED = {
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", {200, 400, 505}),
    "a request line of 100,000 spaces": (
        b"GET" + b" " * 100_000 + b"/healthz HTTP/1.1\r\nhost: x\r\n\r\n", {431},
    ),
    "a header of 100,000": (post(BODY, x=LONG), {431}),
    "a thousand headers": (post(BODY, **{f"x{i}": "y" for i in range(1000)}), {200, 400, 431}),
    "a path of 100,000": (head("GET", "/" + LONG), {431}),
    "a query of 100,000": (post(BODY, "/predict?x=" + LONG), {431}),
    "a method of 1,000": (head("X" * 1000), {400, 405, 501}),
    "an unknown method": (head("BREW", content_length=0), {400, 405, 501}),
    "a lower-case method": (head("post", content_length=0), {400, 405, 501}),
    "CONNECT": (b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n", {400, 404, 405, 501}),
    "TRACE": (head("TRACE"), {400, 405, 501}),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", {200, 204, 400, 404, 405}),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", {200, 400}),
    "a whole address": (head("GET", "http://x/healthz"), {200}),
    "a path that climbs": (head("GET", "/../../etc/passwd"), {400, 404}),
    "a path that climbs in disguise": (head("GET", "/%2e%2e/%2e%2e/etc/passwd"), {400, 404}),
    "a path with a NUL": (head("GET", "/%00"), {400, 404}),
    "a path that is no text": (head("GET", "/%ff%zz"), {400, 404}),
    "a path beyond ASCII": (b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n", {400, 404}),
    "a folded header": (b"GET /healthz HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n", {200, 400}),
    "lines without carriage returns": (b"GET /healthz HTTP/1.1\nhost: x\n\n", {200, 400}),
    "blank lines before": (b"\r\n\r\n" + ALIVE, {200, 400}),
    "no body at all": (head(), {400}),
    "a length of zero": (post(b""), {400}),
    "an expectation that is not known": (post(BODY, expect="200-maybe"), {200, 417}),
    "a web socket": (
        head("GET", connection="upgrade", upgrade="websocket", sec_websocket_version=13,
             sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ=="),
        {400, 403, 404, 405, 426, 501},
    ),
    "a web socket without its key": (
        head("GET", connection="upgrade", upgrade="websocket"), {400, 403, 404, 405, 426, 501},
    ),
    "HTTP/2 by upgrade": (
        post(BODY, connection="upgrade, http2-settings", upgrade="h2c", http2_settings="AAMAAABkAAQA"), {200},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "statuses"), ENDURED.values(), ids=ENDURED)
def test_what_is_odd_is_answered(wire: Wire, data: bytes, statuses: set[int]) -> None:
    wire.send(data)
    answer = wire.answer()
    assert answer is not None
    assert answer.status in statuses, answer


CHUNKS = {
    "one chunk": chunked(BODY),
    "chunks of a byte": chunked(*(BODY[i : i + 1] for i in range(len(BODY)))),
    "extensions": chunked(BODY[:9], BODY[9:], extension=";a=b"),
    "trailers": chunked(BODY, trailer="x-a: b\r\n"),
    "sizes in capitals with zeros": b"000%X\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
}


@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS)
def test_chunks_are_put_together(wire: Wire, bundle: Bundle, body: bytes) -> None:
    for _ in range(2):  # the connection is still good afterwards
        wire.send(head(transfer_encoding="chunked") + body)
        check(wire.answer(), bundle)


def test_chunks_without_end_are_cut_off(wire: Wire) -> None:
    wire.send(head(transfer_encoding="chunked"))
    megabyte = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    for _ in range(20):
        wire.send(megabyte)
    answer = wire.answer()
    assert answer is None or answer.status == 413


def test_a_length_that_is_too_long_is_refused_before_the_body_comes(wire: Wire) -> None:
    wire.send(head(content_length=1 << 40, expect="100-continue"))
    answer = wire.answer()
    assert answer is not None
    assert answer.status == 413  # without a 100: nobody has to send it


def test_a_header_without_end_is_cut_off(wire: Wire) -> None:
    """Or it would fill the memory."""
    wire.send(b"POST /predict HTTP/1.1\r\nhost: x\r\nx: ")
    for _ in range(64):
        wire.send(b"x" * (1 << 20))
    answer = wire.answer()
    assert answer is None or answer.status in (400, 413, 431)


def test_headers_without_end_are_cut_off(wire: Wire) -> None:
    wire.send(b"POST /predict HTTP/1.1\r\nhost: x\r\n")
    for _ in range(64):
        wire.send(b"x: y\r\n" * (1 << 17))
    answer = wire.answer()
    assert answer is None or answer.status in (400, 413, 431)


def test_trailers_without_end_are_cut_off(wire: Wire) -> None:
    wire.send(head(transfer_encoding="chunked") + b"5\r\nhello\r\n0\r\n")
    for _ in range(64):
        wire.send(b"x: y\r\n" * (1 << 17))
    answer = wire.answer()
    assert answer is None or answer.status in (400, 413, 431)


def test_http_1_0_is_answered_and_then_closed(wire: Wire, bundle: Bundle) -> None:
    wire.send(b"POST /predict HTTP/1.0\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY))
    check(wire.answer(), bundle)
    assert wire.closes()


def test_who_asks_for_it_is_closed_after_the_answer(wire: Wire, bundle: Bundle) -> None:
    wire.send(post(BODY, connection="close") + post(BODY))
    check(wire.answer(), bundle)
    assert wire.closes()


def test_who_stops_sending_has_hung_up(wire: Wire, honest: Callable[[], None]) -> None:
    """Whoever is gone looks the same, and no work is done for them. What is answered by then is theirs."""
    wire.send(b"".join(as_post(own(seed)) for seed in range(9)))
    wire.finish()
    while wire.answer() is not None:
        pass
    assert wire.closes()
    honest()


def test_who_stops_sending_half_way_is_not_waited_for(wire: Wire) -> None:
    wire.send(post(BODY)[:-10])
    wire.finish()
    answer = wire.answer()
    assert answer is None or answer.status == 400
    assert wire.closes()


def test_one_byte_at_a_time_is_a_request_like_any_other(wire: Wire, bundle: Bundle) -> None:
    for byte in as_post({"notes": "spot"}):
        wire.send(bytes([byte]))
    check(wire.answer(), bundle, {"notes": "spot"})


def test_slow_senders_hold_nobody_up(service: Service, honest: Callable[[], None]) -> None:
    slow = [Wire(service) for _ in range(50)]
    data = post(BODY)
    for at, wire in enumerate(slow):
        wire.send(data[: at * len(data) // 50])
    honest()
    for at, wire in enumerate(slow):
        (wire.reset if at % 2 else wire.socket.close)()


@pytest.mark.parametrize("how", ["close", "reset", "chunk"])
def test_who_leaves_in_the_middle_of_the_body_is_forgotten(
    wire: Wire, client: httpx2.Client, how: str
) -> None:
    wire.send(post(BODY)[:-10] if how != "chunk" else head(transfer_encoding="chunked") + b"ff\r\nhalf")
    before = count_open_files(client)
    wire.reset() if how == "reset" else wire.socket.close()
    until(lambda: count_open_files(client) < before, "the connection is closed")


def count_open_files(client: httpx2.Client) -> float:
    """Return how many files and connections the service has open."""
    line = re.search(r"^process_open_fds (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert line
    return float(line[1])


def test_who_asks_whether_to_go_on_is_told_so(wire: Wire, bundle: Bundle) -> None:
    wire.send(head(content_length=len(BODY), expect="100-continue"))
    answer = wire.answer()
    assert answer is not None
    assert answer.status == 100
    wire.send(BODY)
    check(wire.answer(), bundle)


def test_a_body_that_is_longer_than_it_says_is_not_taken_for_a_request(wire: Wire) -> None:
    wire.send(head(content_length=len(BODY) - 10) + BODY)
    first, second = wire.answer(), wire.answer()
    assert first is not None
    assert first.status == 400
    assert second is None or second.status == 400


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/nope"])
def test_the_body_of_an_upgrade_that_is_not_taken_is_not_taken_for_a_request(wire: Wire, path: str) -> None:
    """Parsers tend to stop at the head of an upgrade; behind a proxy, the body is somebody's smuggled one."""
    wire.send(head(path=path, content_length=len(ALIVE), connection="upgrade", upgrade="h2c"))
    wire.send(ALIVE)
    wire.send(head("GET", "/nope"))
    answers = [wire.answer(), wire.answer()]
    assert [answer.status for answer in answers if answer] in ([400], [400, 404], [404, 404], [501], [426])


def test_a_refused_body_is_never_read_as_the_next_request(wire: Wire) -> None:
    """What comes after a 413 or 415 is either taken for what it is, a body, or not read at all."""
    for status, refused in (
        (415, post(ALIVE * 3, content_type="text/csv")),
        (405, head("PUT", content_length=len(ALIVE)) + ALIVE),
        (404, head("POST", "/nope", content_length=len(ALIVE)) + ALIVE),
    ):
        wire.send(refused)
        answer = wire.answer()
        assert answer is not None
        assert answer.status == status
        assert answer.headers.get("connection") != "close"
    wire.send(head("GET", "/readyz") + head("GET", "/nope"))
    answers = [wire.answer(), wire.answer()]
    assert [answer and answer.status for answer in answers] == [200, 404]


def test_a_caller_who_never_reads_holds_nobody_up(service: Service, honest: Callable[[], None]) -> None:
    """It asks for megabytes of answers and takes none of them."""
    with Wire(service) as deaf:
        asking = threading.Thread(target=deaf.send, args=(head("GET", "/openapi.json") * 2000,))
        asking.start()
        honest()
        deaf.reset()
        asking.join()
