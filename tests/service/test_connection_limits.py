"""How many connections and requests there may be: in all, of one address, of one key."""

from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.errors import TooManyRequests
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
