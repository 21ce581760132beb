"""How many connections and requests there may be: in all, of one address, of one key."""

from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.errors import TooManyRequests
from tailfuse_service.http.connections import MAX_CANDIDATES, MAX_CHECKED, Connections
from tailfuse_service.http.paths import match_path
from tailfuse_service.http.router import RequestRecord

from tests.support.connection import GOOD, KEY, Connection, statuses


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


def test_an_idle_connection_is_found_behind_busy_ones(drive: Any) -> None:
    async def play(connection: Connection) -> None:
        busy = [connection, *(Connection(connection.app) for _ in range(MAX_CANDIDATES))]
        for each in busy:
            each.send(GOOD[:-1])
        idle = [Connection(connection.app) for _ in range(2)]
        late = Connection(connection.app)
        assert statuses(late) == []
        assert [each.wire.closed for each in (*busy, *idle)] == [False] * len(busy) + [True, False]

    drive(play, max_connections=MAX_CANDIDATES + 3)


class FakeConnection:
    """A connection that is busy, or idle since its beginning, and counts how often it is checked."""

    def __init__(self, is_busy: bool) -> None:
        self.is_busy = is_busy
        self.n_checked = 0

    def get_idle_since(self) -> float | None:
        self.n_checked += 1
        return None if self.is_busy else 0.0

    def close_idle(self) -> None:
        assert not self.is_busy


def test_the_search_for_an_idle_connection_is_limited_and_goes_on_with_others() -> None:
    busy = [FakeConnection(is_busy=True) for _ in range(MAX_CHECKED + 10)]
    idle = FakeConnection(is_busy=False)
    connections = Connections(len(busy) + 1, None)
    for each in (*busy, idle):
        assert connections.add(each, "") is None
    assert connections.add(FakeConnection(is_busy=False), "") == f"{len(busy) + 1} connections are open"
    assert [each.n_checked for each in (*busy, idle)] == [1] * MAX_CHECKED + [0] * 11
    assert connections.add(FakeConnection(is_busy=False), "") is None
    assert sum(each.n_checked for each in (*busy, idle)) == MAX_CHECKED + MAX_CANDIDATES
    assert len(connections) == len(busy) + 1


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
        app.begin_request(first, "192.0.2.1")
        with pytest.raises(TooManyRequests, match="your key"):
            app.begin_request(second, "192.0.2.1")
        app.begin_request(third, "192.0.2.1")
        app.end_request(second, 429)
        app.end_request(first, 200)
        app.begin_request(again := make(KEY), "192.0.2.1")
        for each in (third, again):
            app.end_request(each, 200)

    drive(play, api_keys=keys, max_per_client=1)
