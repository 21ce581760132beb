"""A connection that balance ends says so in its last answer, whichever way the answer takes."""

from typing import Any

import pytest
from tailfuse_service.http.balance import WINDOW, Balance
from tailfuse_service.http.router import Router

from tests.support.connection import GOOD, REFUSED, Connection, request, statuses

V2 = request(b"{}", target=b"/v2/models/skin-lesions/infer")
HEALTH = request(b"", target=b"/healthz", method=b"GET")


def unbalance(app: Router, in_flight: float = 4) -> None:
    """Let the app's worker have so many requests in flight, and another one none: it ends half of them."""
    app.balance = Balance(lambda: [in_flight, 0.0])
    for _ in range(WINDOW):
        app.balance.sample()


@pytest.mark.parametrize("asked", [GOOD, REFUSED, V2, HEALTH])
def test_the_last_answer_is_whole_and_says_that_it_is(drive: Any, asked: bytes) -> None:
    async def play(connection: Connection) -> None:
        connection.send(asked)
        await connection.idle()
        assert not connection.wire.closed
        assert b"connection: close" not in connection.wire.written.lower()
        unbalance(connection.app)
        connection.send(asked)
        await connection.idle()
        first, second = statuses(connection)
        assert first == second
        assert connection.wire.written.lower().count(b"connection: close") == 1
        assert connection.wire.closed
        assert connection.app.balance.is_last()  # two were to be ended
        assert not connection.app.balance.is_last()

    drive(play)


def test_a_pipeline_is_answered_to_its_end_and_then_closed(drive: Any) -> None:
    async def play(connection: Connection) -> None:
        unbalance(connection.app)
        connection.send(GOOD * 5)
        await connection.idle()
        assert statuses(connection) == [b"200"] * 5
        assert connection.wire.written.count(b"connection: close") == 1
        assert connection.wire.closed

    drive(play)
