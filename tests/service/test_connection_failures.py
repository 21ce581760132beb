"""Whatever fails on a connection breaks that connection alone."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tailfuse_service.http import answers, fast_path
from tailfuse_service.http.router import Router
from tailfuse_service.logs import LOG

from tests.support.connection import GOOD, REFUSED, Connection


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
