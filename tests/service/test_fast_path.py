"""One connection harms no other: its requests are counted in and out, one answer per turn of the loop."""

import asyncio
import gc
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle
from tailfuse_service.errors import BadRequest, TooManyRequests
from tailfuse_service.http import answers, fast_path
from tailfuse_service.http import connection as connection_module
from tailfuse_service.http.connection import Protocol
from tailfuse_service.http.cycle import RequestCycle
from tailfuse_service.http.feeder import Feeder
from tailfuse_service.http.paths import match_path
from tailfuse_service.http.router import RequestRecord, Router
from tailfuse_service.logs import LOG
from tailfuse_service.settings import Settings
from uvicorn import Config
from uvicorn.server import ServerState

BODY = b'{"inputs": {"notes": "spot"}}'
KEY = "0123456789abcdef"


def request(body: bytes = BODY, *lines: bytes, target: bytes = b"/predict", method: bytes = b"POST") -> bytes:
    head = b"\r\n".join([b"%s %s HTTP/1.1" % (method, target), b"host: x", *lines])
    return head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body


GOOD = request()
REFUSED = request(b"")
CHUNKED = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
UPGRADE = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nUpgrade: h\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n"
)


class Wire(asyncio.Transport):
    """A transport in memory: what was written, and whether the protocol wants to read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reads = True
        self.closed = self.aborted = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    @property
    def answers(self) -> int:
        return self.written.count(b"HTTP/1.1 ")


class Connection:
    """A protocol on such a transport."""

    def __init__(self, app: Router) -> None:
        self.app = app
        self.protocol = Protocol(Config(app, lifespan="off"), ServerState(), {})
        self.wire = Wire()
        self.protocol.connection_made(self.wire)

    def send(self, data: bytes) -> None:
        """Let the protocol receive it, as the loop would: not while it does not want to read."""
        assert self.wire.reads
        if not self.wire.closed:
            self.protocol.data_received(data)

    async def idle(self) -> None:
        """Wait until nothing more is written and nothing is in flight."""
        quiet, before = 0, -1
        for _ in range(20_000):
            await asyncio.sleep(0.001 if self.app.in_flight else 0)
            quiet = quiet + 1 if len(self.wire.written) == before and not self.app.in_flight else 0
            before = len(self.wire.written)
            if quiet > 50:
                return
        raise AssertionError("the connection does not come to rest")

    def lose(self) -> None:
        self.protocol.connection_lost(None)


@pytest.fixture
def drive(bundle: Bundle, tiny_bundle: Path) -> Callable[..., Any]:
    """Run a coroutine function on a connection to an application with these settings; all must end well."""

    def start(play: Callable[[Connection], Awaitable[Any]], **changes: Any) -> Any:
        async def run() -> Any:
            app = create_app(Settings(bundle=tiny_bundle, **changes), bundle)
            connection = Connection(app)
            try:
                return await play(connection)
            finally:
                connection.lose()
                for _ in range(5000):  # a run that has begun ends first
                    await asyncio.sleep(0.001)
                    if not app.in_flight:
                        break
                assert app.in_flight == 0
                await app.registry.close()

        return asyncio.run(run())

    return start


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"me: {KEY}\n")
    return path


def test_pipelined_offers_of_an_upgrade_are_answered_one_by_one(drive: Any, keys: Path) -> None:
    async def play(connection: Connection) -> None:
        connection.send(UPGRADE * 600)
        await connection.idle()
        assert connection.wire.answers == 600
        assert connection.wire.written.count(b"HTTP/1.1 401 ") == 600
        assert not connection.wire.closed

    drive(play, api_keys=keys)


@pytest.mark.parametrize("data", [REFUSED, UPGRADE, request(b"", target=b"/nope", method=b"GET")])
def test_a_pipeline_of_refusals_gives_way_after_each(drive: Any, data: bytes) -> None:
    """However many requests wait on one connection, another's turn comes after each answer."""

    async def play(connection: Connection) -> None:
        connection.send(data * 100)
        turns, most, seen = 0, 0, connection.wire.answers
        assert seen == 0  # nothing is answered while data is received
        while connection.wire.answers < 100:
            await asyncio.sleep(0)
            most, seen = max(most, connection.wire.answers - seen), connection.wire.answers
            turns += 1
            assert turns < 5000
        assert most == 1

    drive(play)


def test_no_more_than_one_request_of_a_pipeline_is_parsed(
    drive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = 0
    on_headers_complete = Protocol.on_headers_complete

    def count(protocol: Protocol) -> None:
        nonlocal parsed
        parsed += 1
        on_headers_complete(protocol)

    monkeypatch.setattr(Protocol, "on_headers_complete", count)

    async def play(connection: Connection) -> None:
        connection.send(REFUSED * 3000)
        assert not connection.wire.reads
        while connection.wire.answers < 3000:
            assert parsed - connection.wire.answers <= 1
            assert len(connection.protocol.pipeline) == 0
            await asyncio.sleep(0)
        await connection.idle()
        assert connection.wire.reads

    drive(play)


def test_chunked_requests_in_one_read_are_parsed_one_by_one(drive: Any) -> None:
    """Where a chunked body ends is not known beforehand, and yet nothing behind it is parsed."""
    one = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"

    async def play(connection: Connection) -> None:
        connection.send(one * 500)
        while connection.wire.answers < 500:
            assert not connection.protocol.pipeline
            await asyncio.sleep(0)

    drive(play)


ENDLESS = {
    "chunks of a byte": (CHUNKED, b"1\r\nx\r\n"),
    "empty lines in chunks": (
        b"POST /nope HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", b"8\r\n\r\n\r\n\r\n\r\n\r\n",
    ),
    "empty lines": (b"", b"\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize(("begin", "piece"), ENDLESS.values(), ids=ENDLESS)
def test_a_request_without_end_gives_way(drive: Any, begin: bytes, piece: bytes) -> None:
    """Of one connection, one turn of the loop parses a few kilobytes, unless they are one body."""
    data = (begin + piece * 50_000)[:200_000]

    async def play(connection: Connection) -> None:
        connection.send(data)
        turns = 0
        while not connection.wire.reads:  # which it does once all is parsed
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 10

    drive(play)


def test_answered_refusals_are_forgotten(drive: Any) -> None:
    """Each holds its traceback; if that held the one before, a pipeline would keep all of them."""

    def count_alive() -> int:
        return sum(type(each) is BadRequest for each in gc.get_objects())

    async def play(connection: Connection) -> None:
        before = count_alive()  # the document's examples, and what other tests have left
        connection.send(REFUSED * 300)
        while connection.wire.answers < 200:
            await asyncio.sleep(0)
        assert count_alive() - before <= 2
        await connection.idle()

    drive(play)


def test_a_head_is_remembered_for_its_own_request_only(drive: Any, keys: Path) -> None:
    """The end of a pipeline, and a request that uvicorn answers, with the same body: two requests."""
    with_key = request(BODY, b"x-api-key: " + KEY.encode())
    stranger = request(BODY, b"origin: https://example.org")

    async def play(connection: Connection) -> None:
        connection.send(with_key + with_key)
        await connection.idle()
        for _ in range(2):
            connection.send(stranger)
            await connection.idle()
        answers = connection.wire.written.split(b"HTTP/1.1 ")[1:]
        assert [answer[:3] for answer in answers] == [b"200", b"200", b"401", b"401"]

    drive(play, api_keys=keys)


def test_nothing_is_parsed_once_a_connection_is_closing(drive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A close waits for what is written, perhaps for long; nothing must be tried over and over meanwhile."""
    fed = 0
    feed = Feeder.feed

    def count(feeder: Feeder) -> None:
        nonlocal fed
        fed += 1
        feed(feeder)

    monkeypatch.setattr(Feeder, "feed", count)

    async def play(connection: Connection) -> None:
        connection.send(request(BODY, b"connection: close") + GOOD * 20)
        await connection.idle()
        assert connection.wire.closed
        assert connection.wire.answers == 1
        assert fed <= 2

    drive(play)


@pytest.mark.parametrize("data", [REFUSED, GOOD, UPGRADE, request(b"", target=b"/nope", method=b"GET")])
def test_a_caller_who_does_not_read_is_not_answered(drive: Any, data: bytes) -> None:
    """While the transport's buffer is full, nothing is read, parsed or answered; then all goes on."""

    async def play(connection: Connection) -> None:
        connection.send(data)
        await connection.idle()
        assert connection.wire.answers == 1
        connection.protocol.pause_writing()
        connection.send(data * 50)
        await connection.idle()
        assert connection.wire.answers == 1
        assert not connection.wire.reads
        connection.protocol.resume_writing()
        while connection.wire.answers < 51:
            await asyncio.sleep(0)
        assert connection.wire.reads

    drive(play)


def test_what_is_received_beyond_a_pause_is_kept_in_order(drive: Any) -> None:
    """A read may be under way when the protocol pauses; its data comes after what is held."""
    ids = [b"id-%d" % i for i in range(8)]

    async def play(connection: Connection) -> None:
        stream = b"".join(request(BODY, b"x-request-id: " + name) for name in ids)
        connection.protocol.data_received(stream[:300])
        connection.protocol.data_received(stream[300:310])
        connection.protocol.data_received(stream[310:])
        while connection.wire.answers < len(ids):
            await asyncio.sleep(0.001)
        positions = [connection.wire.written.index(b"x-request-id: " + name + b"\r\n") for name in ids]
        assert positions == sorted(positions)

    drive(play)


def test_a_long_body_is_handed_on_whole(drive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small slices are for what may hold many requests; a body of known length is one request."""
    pieces: list[int] = []
    on_body = Protocol.on_body

    def note(protocol: Protocol, body: bytes) -> None:
        pieces.append(len(body))
        on_body(protocol, body)

    monkeypatch.setattr(Protocol, "on_body", note)
    body = b'{"inputs": {"notes": "' + b"a " * 30_000 + b'"}}'

    async def play(connection: Connection) -> None:
        connection.send(request(body))
        await connection.idle()
        assert connection.wire.written.startswith(b"HTTP/1.1 200 ")

    drive(play)
    assert pieces == [len(body)]


class Failure(Exception):
    """Something that nobody expects."""


def fail(*_: Any, **__: Any) -> Any:
    raise Failure


STEPS: dict[str, Callable[[Router], tuple[Any, str]]] = {
    "admission": lambda app: (app, "begin_request"),
    "the registry": lambda app: (app.registry, "find"),
    "submission": lambda app: (app.predict, "submit"),
    "the answer": lambda _: (fast_path, "encode_answer"),
    "a problem": lambda _: (answers, "make_response"),
    "the log": lambda _: (answers, "log_and_make_problem"),
    "metrics": lambda app: (app.metrics, "observe_request"),
}


@pytest.mark.parametrize("data", [GOOD, REFUSED], ids=["good", "refused"])
@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_is_that_connection_s_alone(
    drive: Any, monkeypatch: pytest.MonkeyPatch, step: str, data: bytes
) -> None:
    async def play(connection: Connection) -> None:
        other = Connection(connection.app)
        with monkeypatch.context() as broken:
            where, name = STEPS[step](connection.app)
            broken.setattr(where, name, fail)
            connection.send(data * 3)
            for _ in range(200):
                await asyncio.sleep(0.001)
        assert connection.app.in_flight == 0
        other.send(GOOD)
        await other.idle()
        assert other.wire.written.startswith(b"HTTP/1.1 200 ")
        other.lose()

    drive(play)


def test_a_failure_of_the_transport_is_that_connection_s_alone(
    drive: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(connection: Connection) -> None:
        monkeypatch.setattr(connection.wire, "write", fail)
        connection.send(GOOD)
        await connection.idle()
        assert connection.wire.aborted

    with caplog.at_level("ERROR"):
        drive(play)
    assert [record.message for record in caplog.records] == ["connection broken"]


def test_a_failure_that_cannot_be_logged_breaks_the_connection_too(
    drive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(connection: Connection) -> None:
        failures: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        monkeypatch.setattr(fast_path, "encode_answer", fail)
        monkeypatch.setattr(LOG, "error", fail)
        connection.send(GOOD)
        await connection.idle()
        assert connection.wire.aborted
        assert connection.app.in_flight == 0
        assert len(failures) == 1

    drive(play)


def test_a_time_out_that_cannot_be_answered_breaks_the_connection(
    drive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(connection: Connection) -> None:
        monkeypatch.setattr(answers, "log_and_make_problem", fail)
        connection.send(GOOD[:-1])
        for _ in range(1000):
            await asyncio.sleep(0.001)
            if connection.wire.aborted:
                return
        raise AssertionError("the connection stays open")

    drive(play, receive_timeout_s=0.01)


def test_a_client_that_does_not_read_is_disconnected(drive: Any) -> None:
    """Neither a full buffer nor a close that waits for one keeps a connection, or counts for long."""

    async def play(connection: Connection) -> None:
        connection.send(request(b"", target=b"/metrics", method=b"GET"))
        await connection.idle()
        connection.protocol.pause_writing()
        connection.send(request(b"", target=b"/metrics", method=b"GET"))
        await wait_for_abort(connection)
        closing = Connection(connection.app)
        closing.send(request(BODY, b"connection: close"))
        await closing.idle()
        assert closing.wire.closed
        assert not closing.wire.aborted
        await wait_for_abort(closing)
        closing.lose()

    drive(play, send_timeout_s=0.1)


async def wait_for_abort(connection: Connection) -> None:
    for _ in range(2000):
        await asyncio.sleep(0.001)
        if connection.wire.aborted:
            return
    raise AssertionError("the connection stays open")


def test_a_client_that_reads_again_is_not_disconnected(drive: Any) -> None:
    async def play(connection: Connection) -> None:
        for _ in range(4):
            connection.protocol.pause_writing()
            await asyncio.sleep(0.1)
            connection.protocol.resume_writing()
        assert not connection.wire.aborted

    drive(play, send_timeout_s=0.2)


def test_routes_that_the_limit_exempts_do_not_count_in_it(drive: Any) -> None:
    async def play(connection: Connection) -> None:
        app = connection.app
        open_, limited = match_path("/metrics"), match_path("/predict")
        others = [
            RequestRecord({"headers": [], "method": "GET", "path": "/metrics"}, open_) for _ in range(9)
        ]
        for each in others:
            app.begin_request(each)
        first = RequestRecord({"headers": [], "method": "POST", "path": "/predict"}, limited)
        second = RequestRecord({"headers": [], "method": "POST", "path": "/predict"}, limited)
        app.begin_request(first)
        with pytest.raises(TooManyRequests):
            app.begin_request(second)
        assert app.in_flight == 11
        for each in (*others, first, second):
            app.end_request(each, 200)
        connection.send(GOOD)
        await connection.idle()
        assert connection.wire.written.startswith(b"HTTP/1.1 200 ")

    drive(play, max_concurrency=1)


@pytest.mark.parametrize("data", [GOOD[:-1], CHUNKED + b"5\r\nhel"], ids=["fast path", "ASGI"])
def test_a_stop_does_not_wait_long_for_a_request_to_arrive(
    drive: Any, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(connection_module, "STOP_WAIT_S", 0.05)

    async def play(connection: Connection) -> None:
        connection.send(data)
        connection.protocol.shutdown()
        await asyncio.sleep(0)
        assert not connection.wire.closed
        while not connection.wire.closed:
            await asyncio.sleep(0.005)
        assert statuses(connection) == [b"408"]

    drive(play)


def test_a_time_out_comes_when_it_is_due(drive: Any) -> None:
    """Not only when the timer of the connection's start fires again."""

    async def play(connection: Connection) -> None:
        await asyncio.sleep(0.3)
        start = asyncio.get_running_loop().time()
        connection.send(GOOD[:-1])
        while not connection.wire.closed:
            await asyncio.sleep(0.005)
        assert 0.49 < asyncio.get_running_loop().time() - start < 0.75
        assert connection.wire.written.startswith(b"HTTP/1.1 408 ")

    drive(play, receive_timeout_s=0.5)


def statuses(connection: Connection) -> list[bytes]:
    return re.findall(rb"HTTP/1.1 ([0-9]{3}) ", connection.wire.written)


def test_without_a_key_a_body_is_neither_waited_for_nor_kept(drive: Any, keys: Path) -> None:
    """The connection stays good: what is left of the body is dropped as it comes."""

    async def play(connection: Connection) -> None:
        body = b"x" * 200_000
        stranger = request(body)
        connection.send(stranger[:-150_000])
        await connection.idle()
        assert statuses(connection) == [b"401"]
        cycles = [each for each in gc.get_objects() if type(each) is RequestCycle]
        assert [each for each in cycles if sum(map(len, each.body)) > 40_000] == []
        connection.send(stranger[-150_000:] + request(BODY, b"x-api-key: " + KEY.encode()))
        await connection.idle()
        assert statuses(connection) == [b"401", b"200"]

    drive(play, api_keys=keys)


def test_heads_without_a_key_are_not_cached(drive: Any, keys: Path) -> None:
    async def play(connection: Connection) -> None:
        connection.send(GOOD)
        await connection.idle()
        assert connection.app.cached_heads.find(GOOD.partition(b"\r\n\r\n")[0]) is None

    drive(play, api_keys=keys)


ONE_ANSWER = {
    "a malformed chunk": ([CHUNKED + b"1\r\n{\r\n", b"zz\r\n"], [b"400"]),
    "no host": ([b"GET /healthz HTTP/1.1\r\n\r\n"], [b"400"]),
    "two hosts": ([b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n"], [b"400"]),
    "no host, and a body": ([GOOD.replace(b"host: x\r\n", b"")], [b"400"]),
    "a version without hosts": ([b"GET /healthz HTTP/1.0\r\n\r\n"], [b"200"]),
    "a long head in one read": (
        [request(b"", b"x: " + b"y" * 70_000, target=b"/healthz", method=b"GET")], [b"431"]
    ),
    "rubbish behind a request": ([GOOD + b"\0rubbish\r\n\r\n"], [b"200", b"400"]),
    "a body that goes on after its refusal": (
        [b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n", b"x" * 70_000], [b"413"]
    ),
    "a bad chunk behind a refusal": (
        [b"POST /nope HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n", b"zz\r\nqq"], [b"404"]
    ),
}  # fmt: skip


@pytest.mark.parametrize(("reads", "expected"), ONE_ANSWER.values(), ids=ONE_ANSWER)
def test_a_request_gets_one_answer(drive: Any, reads: list[bytes], expected: list[bytes]) -> None:
    async def play(connection: Connection) -> None:
        for read in reads:
            connection.protocol.data_received(read)
            for _ in range(100):
                await asyncio.sleep(0.001)
        await connection.idle()
        assert statuses(connection) == expected

    drive(play)


def test_for_a_new_connection_the_one_that_is_idle_for_longest_is_closed(drive: Any) -> None:
    async def play(connection: Connection) -> None:
        others = [Connection(connection.app) for _ in range(2)]
        connection.send(GOOD)  # after the others, so that it has not been idle for longest
        await connection.idle()
        late = Connection(connection.app)
        assert [each.wire.closed for each in (connection, *others, late)] == [False, True, False, False]
        for each in (connection, others[1], late):
            each.send(GOOD[:-1])  # now all are busy
        refused = Connection(connection.app)
        assert statuses(refused) == [b"429"]
        assert refused.wire.closed
        late.lose()
        assert not Connection(connection.app).wire.closed
        assert len(connection.app.connections) == 3

    drive(play, max_connections=3)


def test_one_address_has_no_more_connections_than_its_limit(drive: Any) -> None:
    async def play(connection: Connection) -> None:
        other, refused = Connection(connection.app), Connection(connection.app)
        assert statuses(refused) == [b"429"]
        assert not other.wire.closed
        refused.lose()  # it was never counted
        assert statuses(Connection(connection.app)) == [b"429"]
        other.lose()
        assert statuses(Connection(connection.app)) == []

    drive(play, max_per_client=2)


def test_one_key_has_no_more_requests_in_flight_than_its_limit(drive: Any, keys: Path) -> None:
    keys.write_text(f"{KEY}\nother-{KEY}\n")

    def make(key: str) -> RequestRecord:
        scope = {"headers": [(b"x-api-key", key.encode())], "method": "POST", "path": "/predict"}
        return RequestRecord(scope, match_path("/predict"))

    async def play(connection: Connection) -> None:
        app = connection.app
        first, second, third = make(KEY), make(KEY), make(f"other-{KEY}")
        app.begin_request(first)
        with pytest.raises(TooManyRequests, match="your key"):
            app.begin_request(second)
        app.begin_request(third)
        app.end_request(second, 429)
        app.end_request(first, 200)
        app.begin_request(again := make(KEY))
        for each in (third, again):
            app.end_request(each, 200)

    drive(play, api_keys=keys, max_per_client=1)


PIECES = [
    GOOD, REFUSED, UPGRADE, b"\r\n", b"\r\n\r\n", b"\0", b"GET / HTTP/1.1\r\n", b"host: x\r\n", BODY,
    b"transfer-encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", GOOD[:-3], GOOD[7:],
    b"CONNECT x:1 HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    request(b"{", target=b"/predict/batch"), request(BODY, b"expect: 100-continue"),
    request(BODY, b"connection: close"), request(b"", target=b"/healthz", method=b"GET"),
    request(b"", target=b"/\xff", method=b"GET"),
]  # fmt: skip
READ = st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=8).map(b"".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reads=st.lists(READ, max_size=5), gone=st.booleans())
def test_whatever_is_sent_nothing_stays_in_flight(drive: Any, reads: list[bytes], gone: bool) -> None:
    async def play(connection: Connection) -> None:
        for data in filter(None, reads):
            if not connection.wire.closed:
                connection.protocol.data_received(data)
                await asyncio.sleep(0)
        if not gone:
            await connection.idle()

    drive(play)  # which looks at what is in flight
