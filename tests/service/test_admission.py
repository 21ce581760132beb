"""Where too many requests are in flight, the newest of the caller with the most gives way."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle
from tailfuse_service.errors import TooManyRequests
from tailfuse_service.http.admission import Admission
from tailfuse_service.http.router import Router
from tailfuse_service.settings import Settings

from tests.support.bundles import FakeRuntime
from tests.support.calls import BODY, Call
from tests.support.connection import Connection, request, statuses

FLOOD, OTHER = "flood-0123456789abcdef", "other-0123456789abcdef"


class Asked:
    """A request that can be refused, or not."""

    def __init__(self, *, may_refuse: bool = True) -> None:
        self.refusal: TooManyRequests | None = None
        self._may_refuse = may_refuse

    def refuse(self, error: TooManyRequests) -> bool:
        if self._may_refuse:
            self.refusal = error
        return self._may_refuse


def admit(admission: Admission, caller: str, n: int = 1, *, may_refuse: bool = True) -> list[Asked]:
    asked = [Asked(may_refuse=may_refuse) for _ in range(n)]
    for each in asked:
        admission.admit(each, caller, None)
    return asked


def test_the_newest_of_the_caller_with_the_most_gives_way() -> None:
    admission = Admission(4, None)
    one, flood = admit(admission, "one"), admit(admission, "flood", 3)
    (other,) = admit(admission, "other")
    assert [bool(each.refusal) for each in (*one, *flood, other)] == [False, False, False, True, False]


def test_the_caller_with_the_most_is_refused_itself() -> None:
    admission = Admission(4, None)
    held = admit(admission, "one", 2) + admit(admission, "two", 2)
    for caller in ("one", "two"):
        refused = Asked()
        with pytest.raises(TooManyRequests):
            admission.admit(refused, caller, None)
        admission.release(refused)
    assert not any(each.refusal for each in held)


def test_a_request_whose_answer_has_begun_does_not_give_way() -> None:
    admission = Admission(3, None)
    waiting = admit(admission, "flood")
    admit(admission, "flood", 2, may_refuse=False)
    admit(admission, "other")
    assert waiting[0].refusal is not None
    late = Asked()
    with pytest.raises(TooManyRequests):
        admission.admit(late, "another", None)


def test_a_key_is_another_caller_than_an_address_and_nothing_is_kept() -> None:
    admission = Admission(2, None)
    asked = [Asked() for _ in range(3)]
    admission.admit(asked[0], "x", None)
    admission.admit(asked[1], "x", None)
    admission.admit(asked[2], "x", b"x")
    assert asked[1].refusal is not None
    for each in asked:
        admission.release(each)
        admission.release(each)
    assert not admission._requests
    assert not admission._accounts


class Held:
    """An application with two keys and room for four requests. Its model waits until it is released."""

    def __init__(self, app: Router, runtime: FakeRuntime) -> None:
        self.app, self.runtime = app, runtime
        self._connections: list[Connection] = []
        self._calls: list[Call] = []

    def send_fast(self, key: str) -> Callable[[], list[int]]:
        connection = Connection(self.app)
        self._connections.append(connection)
        connection.send(request(BODY, f"x-api-key: {key}".encode()))
        return lambda: [int(each) for each in statuses(connection)]

    def send_asgi(self, key: str) -> Callable[[], list[int]]:
        call = Call(self.app, x_api_key=key)
        self._calls.append(call)
        return lambda: [each["status"] for each in call.sent if "status" in each]

    async def finish(self) -> None:
        self.runtime.release()
        await asyncio.gather(*(call.task for call in self._calls))
        for connection in self._connections:
            await connection.idle()
            connection.lose()
        assert self.app.in_flight == 0
        await self.app.registry.close()


@pytest.mark.parametrize("flood_by", ["send_fast", "send_asgi"])
@pytest.mark.parametrize("other_by", ["send_fast", "send_asgi"])
def test_a_flood_of_one_key_does_not_keep_another_out(
    flood_by: str, other_by: str, fake_bundle: Bundle, runtime: FakeRuntime, tiny_bundle: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{FLOOD}\n{OTHER}\n")

    async def scenario() -> None:
        runtime.hold()
        settings = Settings(bundle=tiny_bundle, api_keys=keys, max_concurrency=4)
        held = Held(create_app(settings, fake_bundle), runtime)
        send: Any = getattr(held, flood_by)
        flood = [send(FLOOD)]
        await asyncio.to_thread(runtime.begun.wait, 30)
        flood += [send(FLOOD) for _ in range(4)]
        await settle()
        assert [each() for each in flood] == [[], [], [], [], [429]]  # more than there is room for
        others = [getattr(held, other_by)(OTHER)]
        await settle()
        assert [each() for each in flood] == [[], [], [], [429], [429]]
        others.append(getattr(held, other_by)(OTHER))
        others.append(getattr(held, other_by)(OTHER))  # it would have the most itself
        await settle()
        assert [each() for each in others] == [[], [], [429]]
        await held.finish()
        assert [each() for each in flood] == [[200], [200], [429], [429], [429]]
        assert [each() for each in others] == [[200], [200], [429]]

    asyncio.run(scenario())


async def settle() -> None:
    """Let the loop do what there is to do."""
    for _ in range(20):
        await asyncio.sleep(0)
